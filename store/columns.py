"""A block of rows held column by column: what takes 50,000 rows a second through Python.

A column is a list of values as a row has them, or an array ready to be sent: numbers of any width (NaN is NULL where
the column may be NULL), whole milliseconds for DateTime64(3), two 64-bit halves for a UUID. `Ragged` holds arrays,
`Parts` tuples. All can be cut, and say what their values are.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Union, cast, overload
from uuid import UUID

import numpy as np
import numpy.typing as npt

from store.interface import Row, StoreRejected

MAX_ROWS = 1_000_000
"""Most rows of one insert: ClickHouse splits larger blocks, and then they are not atomic (1,048,576 rows)."""

Numbers = npt.NDArray[Any]
Column = Union[list[Any], Numbers, "Ragged", "Parts"]


@dataclass(frozen=True, slots=True, eq=False)
class Ragged:
    """A column of arrays: `ends[i]` is where row i's items end in `items`."""

    ends: Numbers
    """int64"""
    items: Column

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, span: slice) -> "Ragged":
        first, last, _ = span.indices(len(self))
        begin = int(self.ends[first - 1]) if first else 0
        end = int(self.ends[last - 1]) if last > first else begin
        return Ragged(self.ends[first:last] - begin, self.items[begin:end])


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """A column of tuples: one column for each part, all of one length."""

    columns: tuple[Column, ...]

    def __len__(self) -> int:
        return len(self.columns[0])

    def __getitem__(self, span: slice) -> "Parts":
        return Parts(tuple([column[span] for column in self.columns]))


def values_of(column: Column) -> list[Any]:
    """One value a row, as Python has them: NaN is None, milliseconds are whole numbers."""
    if isinstance(column, list):
        return column
    if isinstance(column, Parts):
        return list(zip(*map(values_of, column.columns), strict=True))
    if isinstance(column, Ragged):
        items, begins = values_of(column.items), [0, *column.ends.tolist()]
        return [items[begin:end] for begin, end in itertools.pairwise(begins)]
    if column.ndim == 2:
        return [UUID(int=high << 64 | low) for high, low in column.tolist()]
    values: list[Any] = column.tolist()
    return [None if value != value else value for value in values] if column.dtype.kind == "f" else values


def repeated(column: Column, counts: Sequence[int]) -> Column:
    """Each value so many times: what several rows have in common. Of lists and arrays."""
    if isinstance(column, list):
        return list(itertools.chain.from_iterable(map(itertools.repeat, column, counts)))
    assert not isinstance(column, Ragged | Parts)
    return np.repeat(column, counts, axis=0)


def joined(parts: Sequence[Column]) -> Column:
    """Columns of one kind, one below the other."""
    first = parts[0]
    if isinstance(first, Ragged):
        ragged = cast(Sequence[Ragged], parts)
        begins = itertools.accumulate((int(one.ends[-1]) if len(one) else 0 for one in ragged), initial=0)
        ends = np.concatenate([one.ends + begin for one, begin in zip(ragged, begins, strict=False)])
        return Ragged(ends, joined([one.items for one in ragged]))
    if isinstance(first, Parts):
        tuples = cast(Sequence[Parts], parts)
        return Parts(tuple([joined(columns) for columns in zip(*(one.columns for one in tuples), strict=True)]))
    if all(isinstance(one, list) for one in parts):
        return list(itertools.chain.from_iterable(cast(Sequence[list[Any]], parts)))
    if any(isinstance(one, list) for one in parts):
        return list(itertools.chain.from_iterable(map(values_of, parts)))
    return np.concatenate(cast(Sequence[Numbers], parts))


class Columns(Sequence[Row]):
    """Rows of one table, column by column; each can also be had as a row."""

    def __init__(self, columns: Mapping[str, Column]) -> None:
        """`columns` by name, all of one length."""
        self.columns = dict(columns)
        self._count = len(next(iter(self.columns.values()))) if self.columns else 0

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, place: int) -> Row: ...

    @overload
    def __getitem__(self, place: slice) -> "Columns": ...

    def __getitem__(self, place: int | slice) -> "Row | Columns":
        if isinstance(place, slice):
            return Columns({name: column[place] for name, column in self.columns.items()})
        at = range(self._count)[place]
        return next(iter(self[at : at + 1]))

    def __iter__(self) -> Iterator[Row]:
        names = list(self.columns)
        for values in zip(*map(values_of, self.columns.values()), strict=True):
            yield cast(Row, dict(zip(names, values, strict=True)))


def join_columns(parts: Sequence[Columns]) -> Columns:
    """Rows of one table, one below the other."""
    return Columns({name: joined([one.columns[name] for one in parts]) for name in parts[0].columns})


def check_rows(table: str, rows: Sequence[Row]) -> list[str]:
    """The columns that all `rows` have.

    Raises:
        StoreRejected: rows differ in their columns, or there are too many for one block.
    """
    if len(rows) > MAX_ROWS:
        raise StoreRejected(f"{len(rows)} rows for {table}: at most {MAX_ROWS} fit in one atomic block")
    if isinstance(rows, Columns):
        return list(rows.columns)
    columns = list(rows[0])
    keys = rows[0].keys()
    for number, row in enumerate(rows):
        if row.keys() != keys:
            odd = sorted(row.keys() ^ keys)
            raise StoreRejected(f"row {number} for {table} differs in {', '.join(odd)}", row=number)
    return columns
