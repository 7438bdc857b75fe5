"""The column types of the tables that are inserted into, asked once and kept until something changes."""

import threading
from collections.abc import Callable, Mapping, Sequence

from store.interface import StoreMisconfigured


class ColumnTypes:
    """What `describe` says of a table: column name -> ClickHouse type."""

    def __init__(self, describe: Callable[[str], Mapping[str, str]]) -> None:
        self._describe = describe
        self._known: dict[str, Mapping[str, str]] = {}
        self._lock = threading.Lock()

    def of(self, table: str, columns: Sequence[str]) -> list[tuple[str, str]]:
        """Names and types of `columns`.

        Raises:
            StoreMisconfigured: the table has no such column; it is older than this program.
            StoreError: from `describe`.
        """
        with self._lock:
            known = self._known.get(table)
        if known is None:
            known = self._describe(table)
            with self._lock:
                self._known[table] = known
        missing = [name for name in columns if name not in known]
        if missing:
            # somebody may run the migrations meanwhile
            self.forget(table)
            raise StoreMisconfigured(f"{table} has no column {', '.join(missing)} (run: platefleet migrate)", 16)
        return [(name, known[name]) for name in columns]

    def forget(self, table: str | None = None) -> None:
        """Ask again for this table, or for all."""
        with self._lock:
            if table is None:
                self._known.clear()
            else:
                self._known.pop(table, None)
