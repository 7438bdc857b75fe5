"""One plate across the fleet: what is known of it, and which alerts its sightings make. Pure.

In: the plate's state, a revision of a sighting, its offset, the hits. Out: the new state and the alerts to send.
"""

import math
from collections.abc import Sequence
from typing import Literal

import msgspec

from plumbing.clock import from_ms, to_ms
from schemas.alert import Alert, Match
from schemas.codec import decode_json, encode_json
from schemas.hotlist import HotlistRules, Priority
from schemas.ids import alert_id
from schemas.sighting import Sighting
from streams.hotlist import Hit, Hotlist

_PASSES = 16
_MAX_PASSES = 256
_SETTLES_MS = 3_600_000
"""A pass that has not changed for so long, by its camera's clock and by ours, will not change any more."""
_TOLD = 32
_EARTH_M = 6_371_000.0
_FADED = 4.0
"""A match that is so many times less probable than when it was raised is ruled out."""


class Raised(msgspec.Struct, array_like=True):
    """An alert that was sent, or is held back; all that a withdrawal must repeat."""

    hotlist_id: str
    entry: str
    match: str
    probability: float
    priority: str
    reason: str
    withdrawn: bool = False
    owner: str = ""
    held: bytes = b""
    """The alert itself while a cool-down holds it back."""


def raised_of(hit: Hit) -> Raised:
    """What an alert for the hit must remember."""
    entry = hit.entry
    return Raised(entry.hotlist_id, entry.entry, hit.match, hit.probability, hit.priority, hit.reason, owner=hit.owner)


class Told(msgspec.Struct, array_like=True, frozen=True):
    """When and where an alert was sent, for cool-downs."""

    alert_id: str
    hotlist_id: str
    entry: str
    camera_id: str
    t: int
    lat: float | None
    lon: float | None


class Pass(msgspec.Struct, array_like=True):
    """A recent sighting of the plate."""

    sighting_id: str
    camera_id: str
    revision: int
    withdrawn: bool
    first_t: int
    last_t: int
    alerts: dict[str, Raised] = {}
    """alert_id -> what was sent."""
    final: bool = False
    applied_ms: int = 0
    """Wall clock of the last change."""


class Vehicle(msgspec.Struct, array_like=True):
    """State of one plate; times are epoch milliseconds of the cameras."""

    plate: str
    partition: int = -1
    """The plate's partition of fleet.sightings."""
    offset: int = -1
    """Last applied offset there."""
    first_t: int = 0
    last_t: int = 0
    count: int = 0
    """Sightings that stand."""
    cameras: dict[str, int] = {}
    """camera_id -> sightings of it that stand."""
    passes: list[Pass] = []
    """The last ones, latest change last, and those before them that may still change."""
    applied_ms: int = 0
    """Wall clock of the last change: what is old is forgotten."""
    told: list[Told] = []
    """The last alerts that stand, of lists with a cool-down."""


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Vehicle)


def encode_vehicle(vehicle: Vehicle) -> bytes:
    """State to bytes."""
    return _encoder.encode(vehicle)


def decode_vehicle(data: bytes) -> Vehicle:
    """Bytes to state."""
    return _decoder.decode(data)


def apply(
    vehicle: Vehicle | None,
    sighting: Sighting,
    offset: int,
    hotlist: Hotlist,
    now_ms: int,
    candidate_threshold: float,
) -> tuple[Vehicle, list[Alert]]:
    """Apply the revision at `offset` of the plate's partition; the state that comes in must not be used again.

    An offset at or before the last applied one changes and sends nothing: its alerts were acknowledged before the
    state that holds it was written. A revision that is no newer than the one already known does neither.
    """
    vehicle = vehicle or Vehicle(plate=sighting.plate)
    if offset <= vehicle.offset:
        return vehicle, []
    vehicle.offset = offset
    vehicle.applied_ms = now_ms
    known = next((p for p in vehicle.passes if p.sighting_id == sighting.sighting_id), None)
    if known is not None and sighting.revision <= known.revision:
        return vehicle, []
    entry = _note(vehicle, known, sighting, now_ms)
    told = list(vehicle.told)
    if sighting.status == "withdrawn":
        return vehicle, _withdraw_all(vehicle, entry, sighting, now_ms) + _released(vehicle, told, hotlist, now_ms)
    hits = hotlist.match(sighting, candidate_threshold)
    # first what is taken back: it may end a cool-down
    alerts = _faded(vehicle, entry, sighting, hits, hotlist, now_ms)
    alerts += _released(vehicle, told, hotlist, now_ms)
    return vehicle, alerts + _raise(vehicle, entry, sighting, hits, now_ms)


def _note(vehicle: Vehicle, known: Pass | None, sighting: Sighting, now_ms: int) -> Pass:
    """Write the revision into the state."""
    first_t, last_t = to_ms(sighting.first_seen), to_ms(sighting.last_seen)
    withdrawn = sighting.status == "withdrawn"
    stood = known is not None and not known.withdrawn
    if known is None:
        known = Pass(sighting.sighting_id, sighting.camera_id, sighting.revision, withdrawn, first_t, last_t)
    else:
        vehicle.passes.remove(known)
        known.revision, known.withdrawn = sighting.revision, withdrawn
        known.first_t, known.last_t = first_t, last_t
    known.final, known.applied_ms = sighting.status == "final", now_ms
    vehicle.passes.append(known)
    change = (not withdrawn) - stood
    if change:
        vehicle.count = max(0, vehicle.count + change)
        number = vehicle.cameras.get(sighting.camera_id, 0) + change
        if number > 0:
            vehicle.cameras[sighting.camera_id] = number
        else:
            vehicle.cameras.pop(sighting.camera_id, None)
    if not withdrawn:
        vehicle.first_t = min(vehicle.first_t or first_t, first_t)
        vehicle.last_t = max(vehicle.last_t, last_t)
    _let_go(vehicle, now_ms)
    return known


def _let_go(vehicle: Vehicle, now_ms: int) -> None:
    """Forget passes beyond the last few: one that may still change would come back as a new one, its alerts twice."""
    spare = len(vehicle.passes) - _PASSES
    if spare <= 0:
        return
    kept = []
    *before, last = vehicle.passes
    for one in before:
        if spare > 0 and _settled(vehicle, one, now_ms):
            spare -= 1
        else:
            kept.append(one)
    vehicle.passes = [*kept, last][-_MAX_PASSES:]


def _settled(vehicle: Vehicle, one: Pass, now_ms: int) -> bool:
    """True when no revision of the pass is to come, or none that would take an alert back."""
    if (one.final or one.withdrawn) and all(raised.withdrawn for raised in one.alerts.values()):
        return True
    # either clock alone errs: a delayed camera tells of long ago, and a process that was down has not looked for long
    return now_ms - one.applied_ms > _SETTLES_MS and vehicle.last_t - one.last_t > _SETTLES_MS


def _raise(vehicle: Vehicle, entry: Pass, sighting: Sighting, hits: Sequence[Hit], now_ms: int) -> list[Alert]:
    """Alerts for the hits that have none yet; a cool-down keeps them, unsent, in the state."""
    alerts = []
    for hit in hits:
        name = alert_id(hit.entry.hotlist_id, hit.entry.entry, sighting.sighting_id)
        known = entry.alerts.get(name)
        if known is not None and not known.withdrawn:
            continue
        raised = raised_of(hit)
        entry.alerts[name] = raised
        alert = make_alert(name, raised, sighting, "raised", now_ms)
        if _cools(vehicle, hit.rules, alert):
            picture = alert.evidence and msgspec.structs.replace(alert.evidence, crop_jpeg=b"")
            raised.held = encode_json(msgspec.structs.replace(alert, evidence=picture))
            continue
        _tell(vehicle, hit.rules, alert)
        alerts.append(alert)
    return alerts


def _tell(vehicle: Vehicle, rules: HotlistRules, alert: Alert) -> None:
    """Note that an alert is sent."""
    if rules.cool_down_s > 0:
        t = to_ms(alert.seen_at)
        told = Told(alert.alert_id, alert.hotlist_id, alert.entry, alert.camera_id, t, alert.lat, alert.lon)
        vehicle.told.append(told)
        del vehicle.told[:-_TOLD]


def _cools(vehicle: Vehicle, rules: HotlistRules, alert: Alert) -> bool:
    """True when the same entry was told of this plate shortly before (or after: reads come late) at this place.

    The time runs from what was sent: a vehicle that stays is told again each time it has passed.
    """
    t = to_ms(alert.seen_at)
    return rules.cool_down_s > 0 and any(
        (told.hotlist_id, told.entry) == (alert.hotlist_id, alert.entry)
        and told.alert_id != alert.alert_id
        and abs(t - told.t) < rules.cool_down_s * 1000
        and _same_place(told, alert, rules.cool_down_m)
        for told in vehicle.told
    )


def is_cooling(vehicle: Vehicle, hotlist: Hotlist, now_ms: int) -> bool:
    """True when an alert that was sent may still hold back another: the state must not be forgotten."""
    return any(now_ms - told.t < hotlist.rules(told.hotlist_id).cool_down_s * 1000 for told in vehicle.told)


def _same_place(told: Told, alert: Alert, metres: float) -> bool:
    if told.lat is None or told.lon is None or alert.lat is None or alert.lon is None:
        return told.camera_id == alert.camera_id
    return distance_m(told.lat, told.lon, alert.lat, alert.lon) <= metres


def distance_m(lat1: float, lon1: float, lat2: float, lon2: float) -> float:
    """Great-circle distance of two positions in degrees, metres."""
    a, b = math.radians(lat1), math.radians(lat2)
    half = math.sin((b - a) / 2) ** 2 + math.cos(a) * math.cos(b) * math.sin(math.radians(lon2 - lon1) / 2) ** 2
    return 2 * _EARTH_M * math.asin(math.sqrt(min(1.0, half)))


def _released(vehicle: Vehicle, before: Sequence[Told], hotlist: Hotlist, now_ms: int) -> list[Alert]:
    """Alerts that were held back by one that has just been taken back, oldest first."""
    gone = {(told.hotlist_id, told.entry) for told in before if told not in vehicle.told}
    if not gone:
        return []
    held = [
        (decode_json(raised.held, Alert), raised)
        for one in vehicle.passes
        for raised in one.alerts.values()
        if raised.held and (raised.hotlist_id, raised.entry) in gone
    ]
    alerts = []
    for alert, raised in sorted(held, key=lambda two: two[0].seen_at):
        rules = hotlist.rules(raised.hotlist_id)
        if not _cools(vehicle, rules, alert):
            raised.held = b""
            _tell(vehicle, rules, alert)
            alerts.append(msgspec.structs.replace(alert, emitted_at=from_ms(now_ms)))
    return alerts


def _faded(
    vehicle: Vehicle, entry: Pass, sighting: Sighting, hits: Sequence[Hit], hotlist: Hotlist, now_ms: int
) -> list[Alert]:
    """Withdrawals of matches that further reads have ruled out."""
    met = {alert_id(h.entry.hotlist_id, h.entry.entry, sighting.sighting_id) for h in hits}
    alerts = []
    for name, raised in entry.alerts.items():
        if raised.withdrawn or name in met:
            continue
        left = hotlist.chance(raised.hotlist_id, raised.entry, sighting)
        # an entry that was taken off the list does not make its old alerts wrong
        if left is not None and left < raised.probability / _FADED:
            alerts += _take_back(vehicle, name, raised, sighting, now_ms)
    return alerts


def _withdraw_all(vehicle: Vehicle, entry: Pass, sighting: Sighting, now_ms: int) -> list[Alert]:
    """The sighting is known under another plate now, or not at all: its alerts go.

    Also those whose entry says the new plate, too: whether that plate raises them again is for its own state and the
    rules to say. When it does, its revision is the higher one, which holds in whatever order the two messages arrive.
    """
    alerts = []
    for name, raised in entry.alerts.items():
        if not raised.withdrawn:
            alerts += _take_back(vehicle, name, raised, sighting, now_ms)
    return alerts


def _take_back(vehicle: Vehicle, name: str, raised: Raised, sighting: Sighting, now_ms: int) -> list[Alert]:
    """The withdrawal; none of an alert that was never sent."""
    raised.withdrawn = True
    vehicle.told[:] = [told for told in vehicle.told if told.alert_id != name]
    if raised.held:
        raised.held = b""
        return []
    return [make_alert(name, raised, sighting, "withdrawn", now_ms)]


def make_alert(
    name: str, raised: Raised, sighting: Sighting, status: Literal["raised", "withdrawn"], now_ms: int
) -> Alert:
    """The message of an alert.

    Raises:
        msgspec.ValidationError: the state holds a match or a priority that there is not.
    """
    return Alert(
        alert_id=name,
        status=status,
        hotlist_id=raised.hotlist_id,
        entry=raised.entry,
        plate=sighting.plate,
        match=msgspec.convert(raised.match, Match),
        match_probability=min(1.0, raised.probability),
        camera_id=sighting.camera_id,
        seen_at=sighting.last_seen,
        confidence=sighting.confidence,
        lat=sighting.lat,
        lon=sighting.lon,
        heading=sighting.heading,
        speed=sighting.speed,
        sighting_id=sighting.sighting_id,
        revision=sighting.revision,
        priority=msgspec.convert(raised.priority, Priority),
        reason=raised.reason,
        emitted_at=from_ms(now_ms),
        owner=raised.owner,
        region=sighting.region,
        region_confidence=sighting.region_confidence,
        candidates=sighting.candidates,
        direction=sighting.direction,
        first_seen=sighting.first_seen,
        evidence=sighting.evidence,
    )
