"""Past sightings that entries meet. In: entries, what is in force on the hotlists, SQL. Out: alerts as they would be.

SQL finds the sightings that may meet an entry; the streams' own matching decides, so that both mean the same.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

import msgspec

from fleet.errors import CommandError
from plumbing.clock import from_ms
from schemas.alert import Alert
from schemas.hotlist import HotlistEntry, HotlistRecord, HotlistRules, WrongHit
from schemas.ids import alert_id
from schemas.read import Candidate, Point
from schemas.sighting import Evidence, Sighting
from streams.hotlist import Hotlist
from streams.vehicle import make_alert, raised_of

Ask = Callable[[str], bytes]
"""SQL -> the answer in JSONEachRow."""
_SPAN = re.compile(r"^(\d{1,5})\s*([mhdw])$")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_AT_ONCE = 500
"""Entries of one question."""
_PICTURES_AT_ONCE = 200
"""Pictures of one answer: 3 kB each as a rule, 1 MB at most."""
_COLUMNS = """
toString(sighting_id) AS sighting_id, revision, camera_id, plate, confidence, region, region_confidence,
arrayMap(c -> (c.1, c.2), candidates) AS candidates, votes, frames, direction, lat, lon, heading, speed,
toUnixTimestamp64Milli(opened_at) AS opened, toUnixTimestamp64Milli(first_seen) AS first,
toUnixTimestamp64Milli(last_seen) AS last, toUnixTimestamp64Milli(evidence_captured_at) AS captured, evidence_seq,
arrayMap(p -> (p.1, p.2), evidence_corners) AS corners, crop_sha256, frame_sha256, evidence_topic,
evidence_partition, evidence_offset, evidence_frame_index, model_version
"""


class _Row(msgspec.Struct):
    sighting_id: str
    revision: int
    camera_id: str
    plate: str
    confidence: float
    region: str
    region_confidence: float
    candidates: list[tuple[str, float]]
    votes: int
    frames: int
    direction: str
    lat: float | None
    lon: float | None
    heading: float | None
    speed: float | None
    opened: int
    first: int
    last: int
    captured: int
    evidence_seq: int
    corners: list[Point]
    crop_sha256: str
    frame_sha256: str
    evidence_topic: str
    evidence_partition: int
    evidence_offset: int
    evidence_frame_index: int
    model_version: str


class _Crop(msgspec.Struct):
    sighting_id: str
    crop_sha256: str
    crop: bytes
    """JPEG, base64 in the answer."""


# the server may write 64-bit numbers in quotes
_decoder = msgspec.json.Decoder(_Row, strict=False)
_crops = msgspec.json.Decoder(_Crop)


def span(text: str) -> timedelta:
    """`30d`, `12h`, `90m`, `2w` as a time span.

    Raises:
        ValueError: it is none.
    """
    found = _SPAN.match(text.strip().lower())
    if not found or not int(found[1]):
        raise ValueError(f"{text!r:.40} is no span of time; write it as 30d, 12h, 90m or 2w")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def look_back(
    ask: Ask,
    entries: Sequence[HotlistEntry],
    in_force: Iterable[HotlistRecord],
    since: datetime,
    now_ms: int,
    candidate_threshold: float,
) -> list[Alert]:
    """The alerts that the sightings since then would have raised, oldest first, without pictures.

    Args:
        ask: answers SQL.
        entries: the new ones.
        in_force: rules, wrong hits and all entries (those of ignore lists count).
        since: last time seen, at least.
        now_ms: wall clock, epoch milliseconds.
        candidate_threshold: as of the streams.

    Raises:
        CommandError: an entry is on an allow list, of which past sightings would all be hits.
        StoreError: from `ask`.
    """
    listed = _hotlist(entries, in_force)
    alerts: dict[str, Alert] = {}
    wanted = {entry.key for entry in entries}
    for start in range(0, len(entries), _AT_ONCE):
        part = entries[start : start + _AT_ONCE]
        for sighting in _sightings(ask, _may_meet(part, listed), since):
            for hit in listed.match(sighting, candidate_threshold):
                if hit.entry.key not in wanted:
                    continue
                name = alert_id(hit.entry.hotlist_id, hit.entry.entry, sighting.sighting_id)
                alert = make_alert(name, raised_of(hit), sighting, "raised", now_ms)
                alerts[name] = msgspec.structs.replace(alert, look_back=True)
    return sorted(alerts.values(), key=lambda a: (a.seen_at, a.alert_id))


def told_before(ask: Ask, alerts: Sequence[Alert]) -> set[str]:
    """Those `alert_id` that were raised before, whatever became of them."""
    found: set[str] = set()
    for start in range(0, len(alerts), _AT_ONCE):
        names = ", ".join(f"'{alert.alert_id}'" for alert in alerts[start : start + _AT_ONCE])
        sql = f"SELECT toString(alert_id) AS id FROM alerts WHERE toString(alert_id) IN ({names})"
        found |= {msgspec.json.decode(line)["id"] for line in ask(sql).splitlines()}
    return found


def with_pictures(ask: Ask, alerts: Sequence[Alert]) -> list[Alert]:
    """The same alerts with their sightings' crops, as live alerts have them.

    A crop that retention has taken, or that is of another read than the alert's evidence, is left out: `evidence`
    still says where the whole frame lies.

    Raises:
        StoreError: from `ask`.
    """
    found: list[Alert] = []
    for start in range(0, len(alerts), _PICTURES_AT_ONCE):
        part = alerts[start : start + _PICTURES_AT_ONCE]
        names = ", ".join(f"'{name}'" for name in sorted({alert.sighting_id for alert in part}))
        sql = (
            "SELECT toString(sighting_id) AS sighting_id, crop_sha256, base64Encode(crop_jpeg) AS crop "
            f"FROM crops WHERE sighting_id IN ({names})"
        )
        crops = {(c.sighting_id, c.crop_sha256): c.crop for c in map(_crops.decode, ask(sql).splitlines())}
        found += [_with_picture(alert, crops) for alert in part]
    return found


def _with_picture(alert: Alert, crops: Mapping[tuple[str, str], bytes]) -> Alert:
    evidence = alert.evidence
    if evidence is None:
        return alert
    crop = crops.get((alert.sighting_id, evidence.crop_sha256), b"")
    return msgspec.structs.replace(alert, evidence=msgspec.structs.replace(evidence, crop_jpeg=crop))


def _hotlist(entries: Iterable[HotlistEntry], in_force: Iterable[HotlistRecord]) -> Hotlist:
    listed = Hotlist()
    records = list(in_force)
    for record in records:
        if isinstance(record, HotlistRules):
            listed.put_rules(record)
        elif isinstance(record, WrongHit):
            listed.put_wrong(record)
    for record in records:
        if isinstance(record, HotlistEntry) and listed.rules(record.hotlist_id).kind == "ignore":
            listed.put(record)
    for entry in entries:
        if listed.rules(entry.hotlist_id).kind == "allow":
            raise CommandError(f"list {entry.hotlist_id} is an allow list: there is nothing to look back for")
        listed.put(entry)
    return listed


def _may_meet(entries: Iterable[HotlistEntry], listed: Hotlist) -> str:
    """The condition that every sighting fulfils which meets one of the entries. Entries hold no quotes."""
    texts, patterns, near = [], [], []
    for entry in entries:
        rules = listed.rules(entry.hotlist_id)
        edits = rules.ocr_equivalent + rules.differences
        if entry.is_pattern:
            patterns.append("^" + entry.entry.replace("?", ".").replace("*", ".*") + "$")
        else:
            texts.append(f"'{entry.entry}'")
            if edits:
                near.append(f"editDistance(plate, '{entry.entry}') <= {edits}")
    conditions = list(near)
    if texts:
        among = f"({', '.join(texts)})"
        conditions.append(f"plate IN {among} OR arrayExists(c -> c.1 IN {among}, candidates)")
    if patterns:
        expression = "|".join(patterns)
        conditions.append(f"match(plate, '{expression}') OR arrayExists(c -> match(c.1, '{expression}'), candidates)")
    return " OR ".join(conditions)


def _sightings(ask: Ask, condition: str, since: datetime) -> Iterator[Sighting]:
    # a sighting that is still open is left to the streams: they meet it with the new entry by themselves
    sql = (
        f"SELECT {_COLUMNS} FROM sightings WHERE status = 'final' "
        f"AND last_seen >= fromUnixTimestamp64Milli({round(since.timestamp() * 1000)}, 'UTC') AND ({condition})"
    )
    for line in ask(sql).splitlines():
        yield _sighting(_decoder.decode(line))


def _sighting(row: _Row) -> Sighting:
    corners = (*row.corners, *[(0.0, 0.0)] * 4)
    evidence = Evidence(
        seq=row.evidence_seq,
        captured_at=from_ms(row.captured),
        corners=(corners[0], corners[1], corners[2], corners[3]),
        crop_jpeg=b"",
        crop_sha256=row.crop_sha256,
        frame_sha256=row.frame_sha256,
        topic=row.evidence_topic,
        partition=row.evidence_partition,
        offset=row.evidence_offset,
        frame_index=row.evidence_frame_index,
    )
    known = {"approaching": "approaching", "receding": "receding"}
    return msgspec.convert(
        {
            "sighting_id": row.sighting_id,
            "revision": row.revision,
            "status": "final",
            "camera_id": row.camera_id,
            "plate": row.plate,
            "confidence": min(1.0, row.confidence),
            "region": row.region,
            "region_confidence": min(1.0, row.region_confidence),
            "candidates": [Candidate(plate, min(1.0, p)) for plate, p in row.candidates],
            "votes": row.votes,
            "frames": row.frames,
            "opened_at": from_ms(row.opened),
            "first_seen": from_ms(row.first),
            "last_seen": from_ms(row.last),
            "lat": row.lat,
            "lon": row.lon,
            "heading": row.heading,
            "speed": row.speed,
            "direction": known.get(row.direction, "unknown"),
            "trail": (),
            "evidence": evidence,
            "model_version": row.model_version,
            "emitted_at": from_ms(row.last),
        },
        Sighting,
    )
