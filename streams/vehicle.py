"""One plate across the fleet: what is known of it, and which alerts its sightings make. Pure.

In: the plate's state, a revision of a sighting, its offset, the hits. Out: the new state and the alerts to send.
"""

from collections.abc import Sequence

import msgspec

from plumbing.clock import from_ms, to_ms
from schemas.alert import Alert
from schemas.ids import alert_id
from schemas.sighting import Sighting
from streams.hotlist import Hit, Hotlist, covers

_PASSES = 16


class Raised(msgspec.Struct, array_like=True):
    """An alert that was sent; all that a withdrawal must repeat."""

    hotlist_id: str
    entry: str
    match: str
    probability: float
    priority: str
    reason: str
    withdrawn: bool = False


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
    """The last ones, latest change last."""
    applied_ms: int = 0
    """Wall clock of the last change: what is old is forgotten."""


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
    state that holds it was written. A revision older than one already known does neither.
    """
    vehicle = vehicle or Vehicle(plate=sighting.plate)
    if offset <= vehicle.offset:
        return vehicle, []
    vehicle.offset = offset
    vehicle.applied_ms = now_ms
    known = next((p for p in vehicle.passes if p.sighting_id == sighting.sighting_id), None)
    if known is not None and sighting.revision < known.revision:
        return vehicle, []
    entry = _note(vehicle, known, sighting)
    if sighting.status == "withdrawn":
        return vehicle, _withdraw_all(entry, sighting, now_ms)
    hits = hotlist.match(
        sighting.plate,
        sighting.confidence,
        sighting.candidates,
        sighting.region,
        sighting.last_seen,
        candidate_threshold,
    )
    return vehicle, _raise(entry, sighting, hits, now_ms) + _faded(entry, sighting, hits, hotlist, now_ms)


def _note(vehicle: Vehicle, known: Pass | None, sighting: Sighting) -> Pass:
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
    vehicle.passes.append(known)
    del vehicle.passes[:-_PASSES]
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
    return known


def _raise(entry: Pass, sighting: Sighting, hits: Sequence[Hit], now_ms: int) -> list[Alert]:
    """Alerts for the hits that have none yet."""
    alerts = []
    for hit in hits:
        name = alert_id(hit.entry.hotlist_id, hit.entry.entry, sighting.sighting_id)
        known = entry.alerts.get(name)
        if known is not None and not known.withdrawn:
            continue
        raised = Raised(
            hit.entry.hotlist_id,
            hit.entry.entry,
            hit.match,
            hit.probability,
            hit.entry.priority,
            hit.entry.reason,
        )
        entry.alerts[name] = raised
        # under a former plate the same entry has raised this alert already, and it was not withdrawn for that reason
        if not any(covers(hit.entry.entry, plate) for plate in sighting.former_plates):
            alerts.append(_alert(name, raised, sighting, "raised", now_ms))
    return alerts


def _faded(entry: Pass, sighting: Sighting, hits: Sequence[Hit], hotlist: Hotlist, now_ms: int) -> list[Alert]:
    """Withdrawals of candidate matches that further reads have ruled out."""
    met = {alert_id(h.entry.hotlist_id, h.entry.entry, sighting.sighting_id) for h in hits}
    chances = {c.plate: c.confidence for c in sighting.candidates} | {sighting.plate: sighting.confidence}
    alerts = []
    for name, raised in entry.alerts.items():
        # an entry that was taken off the list does not make its old alerts wrong
        if raised.withdrawn or name in met or hotlist.get(raised.hotlist_id, raised.entry) is None:
            continue
        left = sum(p for text, p in chances.items() if covers(raised.entry, text))
        if raised.match == "candidate" and left < raised.probability / 4:
            raised.withdrawn = True
            alerts.append(_alert(name, raised, sighting, "withdrawn", now_ms))
    return alerts


def _withdraw_all(entry: Pass, sighting: Sighting, now_ms: int) -> list[Alert]:
    """The sighting is known under another plate now, or not at all: its alerts go, unless their entry says both."""
    becomes = sighting.candidates[0].plate if sighting.candidates else ""
    alerts = []
    for name, raised in entry.alerts.items():
        if raised.withdrawn or (becomes and covers(raised.entry, becomes) and covers(raised.entry, sighting.plate)):
            continue
        raised.withdrawn = True
        alerts.append(_alert(name, raised, sighting, "withdrawn", now_ms))
    return alerts


def _alert(name: str, raised: Raised, sighting: Sighting, status: str, now_ms: int) -> Alert:
    return Alert(
        alert_id=name,
        status="raised" if status == "raised" else "withdrawn",
        hotlist_id=raised.hotlist_id,
        entry=raised.entry,
        plate=sighting.plate,
        match="exact" if raised.match == "exact" else "pattern" if raised.match == "pattern" else "candidate",
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
        priority="high" if raised.priority == "high" else "low" if raised.priority == "low" else "normal",
        reason=raised.reason,
        emitted_at=from_ms(now_ms),
    )
