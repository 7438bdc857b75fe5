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
    wanted = _hash(store, plate)
    is_plate = f"sipHash128(plate) = {wanted}"
    ids = f"sighting_id IN ({', '.join(_quoted(one.sighting_id) for one in passes)})" if passes else "0"
    # the sightings go last: they say which reads, crops and alerts belong to the plate
    deleted = [_reads(store, plate, passes)]
    deleted += [
        _delete(store, "crops_raw", "crops", f"{is_plate} OR {ids}"),
        _delete(store, "alerts_raw", "alerts", f"{is_plate} OR sipHash128(entry) = {wanted} OR {ids}"),
        _dead_letters(store, plate),
    ]
    for table in _DAYS:
        deleted.append(_strike_out(store, table, wanted))
        deleted.append(_delete(store, table, "sightings", f"{is_plate} OR {ids}"))
    deleted.append(_delete(store, "plates", "plates", is_plate))
    if hotlist:
        said = _hashes(store, "hotlist_raw", "message", "position(message, {text:String}) > 0", json.dumps(plate))
        named = f"{is_plate} OR sipHash128(entry) = {wanted} OR {said}"
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
    wanted = _hash(store, plate)
    mine = f"sipHash128(plate) = {wanted} OR arrayExists(c -> sipHash128(c) = {wanted}, candidates.plate)"
    found = left = 0
    for start in range(0, max(len(passes), 1), _SPANS):
        spans = ", ".join(
            f"({_quoted(one.camera_id)}, {_moment(one.first_seen)}, {_moment(one.last_seen)})"
            for one in passes[start : start + _SPANS]
        )
        inside = f"arrayExists(p -> camera_id = p.1 AND captured_at BETWEEN p.2 AND p.3, [{spans}])" if spans else "0"
        near = f"plate != '' AND editDistance(plate, {{text:String}}) <= {MISREAD} AND {inside}"
        misread = f"{_hashes(store, 'reads_raw', 'plate', near, plate)} AND {inside}"
        done = _delete(store, "reads_raw", "reads", f"{mine} OR ({misread})")
        found, left = found + done.rows, left + done.left
    return Deleted("reads_raw", "reads", found, left)


def _dead_letters(store: Store, plate: str) -> Deleted:
    said = "position(payload, {text:String}) > 0 OR position(message_key, {text:String}) > 0"
    rows = store.query(f"SELECT DISTINCT dead_id FROM dead_letters_raw WHERE {said}", {"text": plate})
    found = left = 0
    for start in range(0, len(rows), _SPANS):
        ids = ", ".join(_quoted(str(row["dead_id"])) for row in rows[start : start + _SPANS])
        done = _delete(store, "dead_letters_raw", "dead letters", f"dead_id IN ({ids})")
        found, left = found + done.rows, left + done.left
    return Deleted("dead_letters_raw", "dead letters", found, left)


def _hash(store: Store, text: str) -> str:
    """What stands for `text` in a condition: the store keeps the words of its newest mutations, on disk, too."""
    return f"unhex('{store.query('SELECT hex(sipHash128({text:String})) AS h', {'text': text})[0]['h']}')"


def _hashes(store: Store, table: str, column: str, condition: str, text: str) -> str:
    """A condition that holds for the values of `column` which `condition` finds, by their hashes."""
    sql = f"SELECT DISTINCT hex(sipHash128({column})) AS h FROM {table} WHERE {condition}"
    found = ", ".join(f"unhex('{row['h']}')" for row in store.query(sql, {"text": text}))
    return f"sipHash128({column}) IN ({found})" if found else "0"


def _delete(store: Store, table: str, what: str, condition: str) -> Deleted:
    found = _count(store, table, condition)
    if found:
        store.execute(f"ALTER TABLE {table} DELETE WHERE {condition} SETTINGS mutations_sync = 2")
    return Deleted(table, what, found, _count(store, table, condition) if found else 0)


def _strike_out(store: Store, table: str, wanted: str) -> Deleted:
    """Take the text, of which `wanted` is the hash, out of what is said of other vehicles."""
    said = f"arrayExists(c -> sipHash128(c) = {wanted}, arrayConcat(candidates.plate, former_plates))"
    condition = f"sipHash128(plate) != {wanted} AND {said}"
    found = _count(store, table, condition)
    if found:
        store.execute(
            f"ALTER TABLE {table} UPDATE candidates = arrayFilter(c -> sipHash128(c.plate) != {wanted}, candidates), "
            f"former_plates = arrayFilter(p -> sipHash128(p) != {wanted}, former_plates) "
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
