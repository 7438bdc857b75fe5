"""How long each kind of row is kept, as TTLs of the tables.

Comes in: days per kind. Goes out: `ALTER TABLE ... MODIFY TTL` where the days differ from what is set; rows out of time
go with ClickHouse's next merges, not at once. A sighting with a hit, an alert that was raised for it and not
withdrawn, has days of its own, and so has its crop: the TTL asks the alerts whenever it is applied.
"""

import re
from dataclasses import dataclass, fields

from store.interface import Store, StoreRejected

_FOREVER = 0
_NO_HIT = "{key} NOT IN (SELECT {key} FROM {database}.alerts WHERE status = 'raised')"


@dataclass(frozen=True)
class Retention:
    """Days that rows are kept, counted from the sighting, read or message itself; 0: forever."""

    sightings: int = _FOREVER
    """Without a hit."""
    hits: int = _FOREVER
    """Sightings with a hit."""
    crops: int = _FOREVER
    """Of sightings without a hit."""
    hit_crops: int = _FOREVER
    reads: int = _FOREVER
    alerts: int = _FOREVER
    camera_states: int = _FOREVER
    dead_letters: int = _FOREVER


@dataclass(frozen=True)
class _Table:
    """A table, the column from which days are counted, and which days hold: `hit` for its rows with a hit."""

    name: str
    column: str
    kind: str
    hit: str = ""
    key: str = "sighting_id"
    """By which an alert belongs to a row."""


_TABLES = (
    _Table("sightings_raw", "opened_at", "sightings", "hits"),
    _Table("sightings_time_raw", "opened_at", "sightings", "hits"),
    _Table("plates", "last_seen", "sightings", "hits", "plate"),
    _Table("crops_raw", "opened_at", "crops", "hit_crops"),
    _Table("reads_raw", "captured_at", "reads"),
    _Table("alerts_raw", "seen_at", "alerts"),
    _Table("camera_states", "emitted_at", "camera_states"),
    _Table("dead_letters_raw", "at", "dead_letters"),
)
"""The audit is kept: it is a chain."""

_TTL = re.compile(r"\sTTL (.+?)(?: SETTINGS |$)", re.DOTALL)


def apply(store: Store, retention: Retention) -> list[str]:
    """Give the tables these TTLs; the statements that were run, none when nothing differed.

    Raises:
        StoreRejected: a number of days below 0, or hits that would go before what tells that they are hits.
        StoreUnavailable: the store does not answer, or a table is not there yet.
    """
    _check(retention)
    database = str(store.query("SELECT currentDatabase() AS name")[0]["name"])
    have = _current(store)
    statements = []
    for table, wanted in _wanted(retention, database).items():
        if _bare(have.get(table, "")) != _bare(wanted):
            change = f"MODIFY TTL {wanted}" if wanted else "REMOVE TTL"
            statements.append(f"ALTER TABLE {table} {change}")
    for statement in statements:
        store.execute(statement)
    return statements


def _check(retention: Retention) -> None:
    days = {field.name: int(getattr(retention, field.name)) for field in fields(retention)}
    for kind, count in days.items():
        if count < 0:
            raise StoreRejected(f"retention of {kind}: {count} days; want 0 (forever) or more")
    for shorter, longer in (("sightings", "hits"), ("crops", "hit_crops"), ("hits", "alerts"), ("hit_crops", "alerts")):
        # where nothing tells hits apart, alerts may go when they like
        told = longer != "alerts" or _told_apart(days)
        if told and days[longer] and not 0 < days[shorter] <= days[longer]:
            raise StoreRejected(
                f"retention of {longer}: {days[longer]} days is shorter than that of {shorter} "
                f"({days[shorter] or 'forever'})"
            )


def _told_apart(days: dict[str, int]) -> bool:
    return days["sightings"] != days["hits"] or days["crops"] != days["hit_crops"]


def _wanted(retention: Retention, database: str) -> dict[str, str]:
    """Table -> its TTL; empty: none."""
    found = {}
    for table in _TABLES:
        days = int(getattr(retention, table.kind))
        hit = int(getattr(retention, table.hit)) if table.hit else days
        plain = f"toDateTime({table.column}) + toIntervalDay({{0}})"
        if hit == days:
            found[table.name] = plain.format(days) if days else ""
            continue
        rules = [f"{plain.format(days)} DELETE WHERE {_NO_HIT.format(key=table.key, database=database)}"]
        if hit:
            rules.append(plain.format(hit))
        found[table.name] = ", ".join(rules)
    return found


def _current(store: Store) -> dict[str, str]:
    """Table -> its TTL as it is set now."""
    rows = store.query("SELECT name, engine_full FROM system.tables WHERE database = currentDatabase()")
    found = {}
    for row in rows:
        match = _TTL.search(str(row["engine_full"]))
        if match:
            found[str(row["name"])] = match.group(1)
    return found


def _bare(ttl: str) -> str:
    """A TTL without what servers write differently: brackets, blanks, and the word DELETE."""
    return re.sub(r"[\s()`]|\bDELETE\b", "", ttl)
