"""Wrong hits. In: an alert's id, what SQL knows of it. Out: the record that silences the pair and trains the reader."""

from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID

import msgspec

from fleet.errors import CommandError
from schemas.hotlist import WrongHit
from schemas.sighting import Evidence

Ask = Callable[[str], bytes]
"""SQL -> the answer in JSONEachRow."""


class _Row(msgspec.Struct):
    hotlist_id: str
    entry: str
    plate: str
    sighting_id: str


class _Picture(msgspec.Struct):
    crop: bytes
    """base64 in JSON."""
    crop_sha256: str
    frame_sha256: str
    topic: str
    part: int
    place: int
    seq: int
    captured: int


def find_wrong_hit(ask: Ask, alert_id: str, *, truth: str, silence: bool, by: str) -> WrongHit:
    """The record of a wrong hit.

    Args:
        ask: answers SQL.
        alert_id: of the alert.
        truth: what the plate says; empty when nobody told.
        silence: the pair is silenced though the text that was read is the entry itself.
        by: who says so.

    Raises:
        CommandError: there is no such alert.
        StoreError: from `ask`.
    """
    try:
        name = str(UUID(alert_id))
    except ValueError:
        raise CommandError(f"{alert_id[:60]!r} is no alert_id; `platefleet alerts --json` has them") from None
    rows = ask(
        "SELECT hotlist_id, entry, plate, toString(sighting_id) AS sighting_id FROM alerts "
        f"WHERE toString(alert_id) = '{name}'"
    )
    if not rows.strip():
        raise CommandError(f"no alert {name} in the store; one that was raised this second may not be there yet")
    row = msgspec.json.decode(rows.splitlines()[0], type=_Row)
    return WrongHit(
        hotlist_id=row.hotlist_id,
        entry=row.entry,
        plate=row.plate,
        truth=truth,
        suppress=silence or row.plate != row.entry,
        alert_id=name,
        sighting_id=row.sighting_id,
        evidence=_evidence(ask, row.sighting_id),
        at=datetime.now(UTC),
        by=by,
    )


def _evidence(ask: Ask, sighting_id: str) -> Evidence | None:
    """The winning read; None where retention has taken it."""
    rows = ask(
        "SELECT base64Encode(c.crop_jpeg) AS crop, s.crop_sha256 AS crop_sha256, s.frame_sha256 AS frame_sha256, "
        "s.evidence_topic AS topic, s.evidence_partition AS part, s.evidence_offset AS place, "
        "s.evidence_seq AS seq, toUnixTimestamp64Milli(s.evidence_captured_at) AS captured "
        f"FROM (SELECT * FROM sightings WHERE toString(sighting_id) = '{sighting_id}') AS s "
        f"LEFT JOIN (SELECT sighting_id, crop_jpeg FROM crops WHERE toString(sighting_id) = '{sighting_id}') AS c "
        "ON s.sighting_id = c.sighting_id"
    )
    if not rows.strip():
        return None
    found = msgspec.json.decode(rows.splitlines()[0], type=_Picture, strict=False)
    corner = (0.0, 0.0)
    return Evidence(
        seq=found.seq,
        captured_at=datetime.fromtimestamp(found.captured / 1000, UTC),
        corners=(corner, corner, corner, corner),
        crop_jpeg=found.crop,
        crop_sha256=found.crop_sha256,
        frame_sha256=found.frame_sha256,
        topic=found.topic,
        partition=found.part,
        offset=found.place,
    )
