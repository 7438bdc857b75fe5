"""Hotlists as files. In: CSV with a header, or text with one entry a line. Out: entries, and what is wrong, by line.

A file is read whole before anything is sent: a half imported list helps nobody. Memory goes with the entries.
"""

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import msgspec

from fleet.errors import CommandError
from fleet.hotlists import make_entry
from schemas.hotlist import HotlistEntry
from streams.likeness import skeleton, within

COLUMNS = ("entry", "priority", "reason", "owner", "region", "valid_from", "valid_until")
_KNOWN = (*COLUMNS, "plate", "partial")
_DELIMITERS = ",;\t"
_YES = {"yes", "true", "1", "x", "y"}
_NO = {"", "no", "false", "0", "n"}
_ANY = 16
MAX_TOLD = 1_000
"""Bad rows and twins that are kept to be told; all are counted."""


@dataclass(slots=True)
class FileRead:
    """What a file holds."""

    entries: list[HotlistEntry] = field(default_factory=list)
    rows: int = 0
    """Without header, comments and empty lines."""
    bad: int = 0
    bad_rows: list[tuple[int, str]] = field(default_factory=list)
    """Line number and what is wrong, of the first of them."""
    repeated: int = 0
    """Rows that say again what an earlier one said."""
    twins: int = 0
    twin_pairs: list[tuple[str, str]] = field(default_factory=list)
    """Entries that look alike."""

    def note_bad(self, line: int, why: str) -> None:
        """Count a bad row."""
        self.bad += 1
        if len(self.bad_rows) < MAX_TOLD:
            self.bad_rows.append((line, why))


Row = dict[str, str]


def read_file(path: Path, hotlist_id: str, added_by: str = "") -> FileRead:
    """Read a file whole, good rows and bad ones.

    Raises:
        CommandError: it cannot be read, is not UTF-8, has an unknown column or no header, or holds no rows.
    """
    found = FileRead()
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            _take(found, _rows(path, file), hotlist_id, added_by)
    except OSError as error:
        raise CommandError(f"{path}: {(error.strerror or str(error)).lower()}") from error
    except UnicodeDecodeError as error:
        raise CommandError(f"{path}: not a text file in UTF-8") from error
    if not found.rows:
        raise CommandError(f"{path}: holds no entries")
    return found


def read_entries(path: Path, hotlist_id: str, added_by: str = "") -> list[HotlistEntry]:
    """The entries of a file without a bad row.

    Raises:
        CommandError: as `read_file`, and for the first bad row, with its line number.
    """
    found = read_file(path, hotlist_id, added_by)
    for line, why in found.bad_rows:
        raise CommandError(f"{path}:{line}: {why}")
    return found.entries


def _take(found: FileRead, rows: Iterable[tuple[int, Row | str]], hotlist_id: str, added_by: str) -> None:
    lines: dict[str, tuple[int, HotlistEntry]] = {}
    looks: dict[str, str] = {}
    now = datetime.now(UTC)
    for line, row in rows:
        found.rows += 1
        try:
            if isinstance(row, str):
                raise ValueError(row)
            entry = _entry(row, hotlist_id, added_by, now)
        except ValueError as error:
            found.note_bad(line, str(error))
            continue
        known = lines.setdefault(entry.entry, (line, entry))
        if known[1] is not entry:
            if known[1] == entry:
                found.repeated += 1
            else:
                found.note_bad(line, f"{entry.entry} says something else than line {known[0]}, which stands")
            continue
        found.entries.append(entry)
        twin = looks.setdefault(skeleton(entry.entry), entry.entry)
        if look_alike(twin, entry.entry):
            found.twins += 1
            if len(found.twin_pairs) < MAX_TOLD:
                found.twin_pairs.append((twin, entry.entry))


def look_alike(a: str, b: str) -> bool:
    """True when two different entries differ in look-alikes only."""
    return a != b and within(a, b, _ANY, 0)


def _entry(row: Row, hotlist_id: str, added_by: str, now: datetime) -> HotlistEntry:
    text = row.pop("plate", "") or row.pop("entry", "")
    row.pop("entry", None)
    partial = row.pop("partial", "").lower()
    if partial not in _YES | _NO:
        raise ValueError(f"partial is {partial[:20]!r}; write yes or no")
    return make_entry(hotlist_id, text, partial=partial in _YES, added_by=added_by, added_at=now, **row)


def _rows(path: Path, file: IO[str]) -> Iterator[tuple[int, Row | str]]:
    """(line number, cells by column, or what is wrong with the row)."""
    first = file.readline()
    delimiter = max(_DELIMITERS, key=first.count)
    header = [cell.strip().strip('"').lower() for cell in first.split(delimiter)]
    if "entry" in header or "plate" in header:
        unknown = [name for name in header if name not in _KNOWN]
        if unknown:
            raise CommandError(f"{path}: unknown column {unknown[0]!r:.60}; known are {', '.join(_KNOWN)}")
        yield from _table(file, header, delimiter)
        return
    if delimiter in first.partition("#")[0]:
        raise CommandError(f"{path}: the first line names no columns; begin with: {delimiter.join(COLUMNS)}")
    for number, line in enumerate((first, *file) if len(first) < 1 << 16 else (first,), start=1):
        bare = line.partition("#")[0].strip()
        if bare:
            yield number, {"entry": bare}


def _table(file: IO[str], header: list[str], delimiter: str) -> Iterator[tuple[int, Row | str]]:
    reader = csv.reader(file, delimiter=delimiter, strict=True)
    while True:
        # the header's line was read before; a row in quotes may go over several lines
        number = reader.line_num + 2
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield number, f"not CSV: {error}"
            continue
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            yield number, f"{len(cells)} fields, the header has {len(header)}"
            continue
        yield number, {name: cell.strip() for name, cell in zip(header, cells, strict=True) if cell.strip()}


def write_file(file: IO[str], entries: Iterable[HotlistEntry]) -> int:
    """Write entries as CSV that `read_file` takes, and return how many."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    count = 0
    for entry in entries:
        values = msgspec.to_builtins(entry)
        writer.writerow([values[name] or "" for name in COLUMNS])
        count += 1
    return count
