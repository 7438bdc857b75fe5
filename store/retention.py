"""How long what is kept: days per kind of row -> TTLs of the tables.

Comes in: a `Retention`. Goes out: ALTER statements, only where a table's TTL differs. Rows that are out of time
go with ClickHouse's next merges, not at once.
"""

import re
from dataclasses import dataclass, fields

from store.interface import Store, StoreRejected

_FOREVER = 0


@dataclass(frozen=True)
class Retention:
    """Days that rows are kept, counted from the sighting, read or message itself; 0: forever."""

    sightings: int = _FOREVER
    crops: int = _FOREVER
    reads: int = _FOREVER
    alerts: int = _FOREVER
    camera_states: int = _FOREVER
    dead_letters: int = _FOREVER


_TABLES: dict[str, tuple[tuple[str, str], ...]] = {
    "sightings": (("sightings_raw", "opened_at"), ("sightings_time_raw", "opened_at"), ("plates", "last_seen")),
    "crops": (("crops_raw", "opened_at"),),
    "reads": (("reads_raw", "captured_at"),),
    "alerts": (("alerts_raw", "seen_at"),),
    "camera_states": (("camera_states", "emitted_at"),),
    "dead_letters": (("dead_letters_raw", "at"),),
}
"""Kind -> (table, the column from which days are counted). The audit is kept: it is a chain."""

_TTL = re.compile(r"\sTTL toDateTime\((\w+)\) \+ toIntervalDay\((\d+)\)")


def apply(store: Store, retention: Retention) -> list[str]:
    """Give the tables these TTLs; the statements that were run, none when nothing differed.

    Raises:
        StoreRejected: a number of days below 0.
        StoreUnavailable: the store does not answer, or a table is not there yet.
    """
    wanted = {field.name: int(getattr(retention, field.name)) for field in fields(retention)}
    for kind, days in wanted.items():
        if days < 0:
            raise StoreRejected(f"retention of {kind}: {days} days; want 0 (forever) or more")
    have = _current(store)
    statements = []
    for kind, tables in _TABLES.items():
        for table, column in tables:
            days = wanted[kind]
            if have.get(table, 0) == days:
                continue
            change = f"MODIFY TTL toDateTime({column}) + toIntervalDay({days})" if days else "REMOVE TTL"
            statements.append(f"ALTER TABLE {table} {change}")
    for statement in statements:
        store.execute(statement)
    return statements


def _current(store: Store) -> dict[str, int]:
    """Table -> days of its TTL, as it is set now."""
    rows = store.query("SELECT name, engine_full FROM system.tables WHERE database = currentDatabase()")
    found = {}
    for row in rows:
        match = _TTL.search(str(row["engine_full"]))
        if match:
            found[str(row["name"])] = int(match.group(2))
    return found
