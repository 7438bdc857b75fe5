"""Everything that the store knows of one plate, deleted; and a report of what that was.

Comes in: a plate. Goes out: rows per table before and after. What is deleted: the sightings of the plate in every
revision, also those of the same passes under other texts; their crops, alerts and raw reads, also reads of the pass
that differ in two letters at most; dead letters that hold the text. Other vehicles' sightings keep their rows and lose
the text from their candidates and former plates. What stays is said in the report.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from store.interface import Store
from store.values import parameter_text

MISREAD = 2
"""A read of the pass whose text differs in no more letters is a read of this plate."""
_SPANS = 500
"""Passes whose reads are deleted by one statement."""
_DAYS = ("sightings_raw", "sightings_time_raw")


@dataclass(frozen=True)
class Deleted:
    """What was done in one table."""

    table: str
    what: str
    rows: int
    """That matched, before."""
    left: int
    """That match, afterwards: 0, or somebody wrote meanwhile."""


@dataclass(frozen=True)
class Report:
    """What was deleted, and what was found and kept."""

    plate: str
    deleted: tuple[Deleted, ...]
    hotlist_entries: tuple[str, ...]
    """`hotlist_id/entry` of the entries that name the plate exactly: they are kept, they were put there on purpose."""
    audit_rows: int
    """Searches that name it: kept, since the audit is a chain."""

    @property
    def complete(self) -> bool:
        """Nothing of what was to be deleted is left."""
        return not any(one.left for one in self.deleted)


@dataclass(frozen=True)
class ShownIn:
    """Frames of one partition of fleet.frames that show the plate."""

    partition: int
    last_offset: int
    frames: int
    newest: datetime


@dataclass(frozen=True)
class _Pass:
    sighting_id: str
    camera_id: str
    first_seen: datetime
    last_seen: datetime


def shown_in(store: Store, plate: str) -> list[ShownIn]:
    """The frames in which `plate` was read, or that are a sighting's evidence: to be asked before `forget`."""
    rows = store.query(
        "SELECT partition, max(offset) AS last_offset, uniqExact(offset) AS frames, max(at) AS newest FROM ("
        "SELECT frame_partition AS partition, frame_offset AS offset, published_at AS at FROM reads "
        "WHERE plate = {plate:String} OR has(candidates.plate, {plate:String}) "
        "UNION ALL SELECT evidence_partition, evidence_offset, last_seen FROM sightings WHERE plate = {plate:String}"
        ") WHERE offset >= 0 GROUP BY partition ORDER BY partition",
        {"plate": plate},
    )
    return [ShownIn(**row) for row in rows]  # type: ignore[arg-type]


def forget(store: Store, plate: str, *, hotlist: bool = False) -> Report:
    """Delete all that is stored of `plate` (upper case, no spaces). Repeated, it deletes what came since.

    `hotlist`: its entries and wrong hits, too, of which the topic must be rid before.

    Raises:
        StoreError: some tables may be done; the same call goes on.
    """
    passes = _passes(store, plate)
    text = _quoted(plate)
    said = f"position(payload, {text}) > 0 OR position(message_key, {text}) > 0"
    ids = f"sighting_id IN ({', '.join(_quoted(one.sighting_id) for one in passes)})" if passes else "0"
    # the sightings go last: they say which reads, crops and alerts belong to the plate
    deleted = [_reads(store, plate, passes)]
    deleted += [
        _delete(store, "crops_raw", "crops", f"plate = {text} OR {ids}"),
        _delete(store, "alerts_raw", "alerts", f"plate = {text} OR entry = {text} OR {ids}"),
        _delete(store, "dead_letters_raw", "dead letters", said),
    ]
    for table in _DAYS:
        deleted.append(_strike_out(store, table, text))
        deleted.append(_delete(store, table, "sightings", f"plate = {text} OR {ids}"))
    deleted.append(_delete(store, "plates", "plates", f"plate = {text}"))
    if hotlist:
        named = f"entry = {text} OR plate = {text} OR position(message, {_quoted(json.dumps(plate))}) > 0"
        deleted.append(_delete(store, "hotlist_raw", "hotlist entries and wrong hits", named))
    return Report(plate, tuple(deleted), _hotlist(store, plate), _audit_rows(store, plate))


def _passes(store: Store, plate: str) -> list[_Pass]:
    """The passes that are the plate's now: one that was corrected to another text is another vehicle."""
    rows = store.query(
        "SELECT sighting_id, camera_id, first_seen, last_seen FROM sightings WHERE plate = {plate:String} "
        "ORDER BY first_seen",
        {"plate": plate},
    )
    return [_Pass(**row) for row in rows]  # type: ignore[arg-type]


def _reads(store: Store, plate: str, passes: Sequence[_Pass]) -> Deleted:
    text = _quoted(plate)
    mine = f"plate = {text} OR has(candidates.plate, {text})"
    found = left = 0
    for start in range(0, max(len(passes), 1), _SPANS):
        spans = ", ".join(
            f"({_quoted(one.camera_id)}, {_moment(one.first_seen)}, {_moment(one.last_seen)})"
            for one in passes[start : start + _SPANS]
        )
        near = f"plate != '' AND editDistance(plate, {text}) <= {MISREAD}"
        inside = f"arrayExists(p -> camera_id = p.1 AND captured_at BETWEEN p.2 AND p.3, [{spans}])"
        done = _delete(store, "reads_raw", "reads", f"{mine} OR ({near} AND {inside})" if spans else mine)
        found, left = found + done.rows, left + done.left
    return Deleted("reads_raw", "reads", found, left)


def _delete(store: Store, table: str, what: str, condition: str) -> Deleted:
    found = _count(store, table, condition)
    if found:
        store.execute(f"ALTER TABLE {table} DELETE WHERE {condition} SETTINGS mutations_sync = 2")
    return Deleted(table, what, found, _count(store, table, condition) if found else 0)


def _strike_out(store: Store, table: str, text: str) -> Deleted:
    """Take the text out of what is said of other vehicles."""
    condition = f"plate != {text} AND (has(candidates.plate, {text}) OR has(former_plates, {text}))"
    found = _count(store, table, condition)
    if found:
        store.execute(
            f"ALTER TABLE {table} UPDATE candidates = arrayFilter(c -> c.plate != {text}, candidates), "
            f"former_plates = arrayFilter(p -> p != {text}, former_plates) "
            f"WHERE {condition} SETTINGS mutations_sync = 2"
        )
    left = _count(store, table, condition) if found else 0
    return Deleted(table, "mentions with other vehicles", found, left)


def _count(store: Store, table: str, condition: str) -> int:
    return int(str(store.query(f"SELECT count() AS n FROM {table} WHERE {condition}")[0]["n"]))


def _hotlist(store: Store, plate: str) -> tuple[str, ...]:
    rows = store.query(
        "SELECT hotlist_id, entry FROM hotlist WHERE entry = {plate:String} ORDER BY hotlist_id", {"plate": plate}
    )
    return tuple(f"{row['hotlist_id']}/{row['entry']}" for row in rows)


def _audit_rows(store: Store, plate: str) -> int:
    rows = store.query("SELECT count() AS n FROM audit WHERE position(statement, {plate:String}) > 0", {"plate": plate})
    return int(str(rows[0]["n"]))


def _quoted(text: str) -> str:
    return f"'{parameter_text(text)}'"


def _moment(moment: datetime) -> str:
    return f"toDateTime64('{parameter_text(moment)}', 3, 'UTC')"
