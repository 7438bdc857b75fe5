"""Hotlists as files and as a topic. In: entries, CSV or text files. Out: messages on fleet.hotlist, entries from it."""

import csv
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from fleet.errors import CommandError
from fleet.topic_reader import read_topic, require_topic
from plumbing.kafka_bus import KafkaBusProducer, KafkaSecurity
from schemas.codec import decode_json, encode_json
from schemas.hotlist import HotlistEntry, normalise_entry
from schemas.topics import HOTLIST

_COLUMNS = ("entry", "plate", "priority", "reason", "owner", "region", "valid_from", "valid_until")


@dataclass(frozen=True, slots=True)
class HotlistBus:
    """Where hotlists live."""

    brokers: str
    security: KafkaSecurity

    def put(self, entries: Iterable[HotlistEntry]) -> int:
        """Write entries, and return how many once the broker has them all.

        Raises:
            BusError: the broker cannot be reached or refuses.
        """
        return self._send((entry.key, encode_json(entry)) for entry in entries)

    def remove(self, keys: Iterable[str]) -> int:
        """Take entries out by their keys `hotlist_id/entry`."""
        return self._send((key, None) for key in keys)

    def _send(self, messages: Iterable[tuple[str, bytes | None]]) -> int:
        require_topic(self.brokers, HOTLIST.name, self.security)
        with closing(KafkaBusProducer(self.brokers, "platefleet-cli", security=self.security)) as producer:
            sent = [producer.send(HOTLIST.name, value, key=key.encode()) for key, value in messages]
            producer.flush(30.0)
            for future in sent:
                future.result(1.0)
        return len(sent)

    def entries(self) -> list[HotlistEntry]:
        """All entries in force, by key."""
        state: dict[bytes, HotlistEntry] = {}
        for record in read_topic(self.brokers, HOTLIST.name, self.security):
            key = record.key or b""
            if record.value is None:
                state.pop(key, None)
            else:
                state[key] = decode_json(record.value, HotlistEntry)
        return [state[key] for key in sorted(state)]


def read_entries(path: Path, hotlist_id: str, added_by: str = "") -> list[HotlistEntry]:
    """Entries of a CSV file with a header (column `entry` or `plate`; priority, reason, owner, region, valid_from,
    valid_until where wanted), or of a text file with one entry a line and `#` before comments.

    Raises:
        CommandError: the file cannot be read, is empty, or a line is wrong (its number is in the text).
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise CommandError(f"{path}: {(error.strerror or str(error)).lower()}") from error
    except UnicodeDecodeError as error:
        raise CommandError(f"{path}: not a text file in UTF-8") from error
    lines = text.splitlines()
    header = [cell.strip().lower() for cell in lines[0].split(",")] if lines else []
    table = "entry" in header or "plate" in header
    rows = _table(path, lines, header) if table else _plain(lines)
    found = []
    for number, row in rows:
        try:
            found.append(make_entry(hotlist_id, added_by=added_by, **row))
        except ValueError as error:
            raise CommandError(f"{path}:{number}: {error}") from error
    if not found:
        raise CommandError(f"{path}: holds no entries")
    return found


def _table(path: Path, lines: list[str], header: list[str]) -> list[tuple[int, dict[str, str]]]:
    unknown = [name for name in header if name not in _COLUMNS]
    if unknown:
        raise CommandError(f"{path}: unknown column {unknown[0]!r}; known are {', '.join(_COLUMNS)}")
    rows = []
    for number, cells in enumerate(csv.reader(lines[1:]), start=2):
        if any(cell.strip() for cell in cells):
            row = {name: cell.strip() for name, cell in zip(header, cells, strict=False) if cell.strip()}
            row["entry"] = row.pop("plate", row.get("entry", ""))
            rows.append((number, row))
    return rows


def _plain(lines: list[str]) -> list[tuple[int, dict[str, str]]]:
    bare = ((number, line.partition("#")[0].strip()) for number, line in enumerate(lines, start=1))
    return [(number, {"entry": line}) for number, line in bare if line]


def make_entry(
    hotlist_id: str,
    entry: str,
    *,
    priority: str = "normal",
    reason: str = "",
    owner: str = "",
    region: str = "",
    valid_from: str | None = None,
    valid_until: str | None = None,
    added_by: str = "",
) -> HotlistEntry:
    """An entry from what a person wrote; times in ISO 8601, UTC where no zone is given.

    Raises:
        ValueError: the entry, a time, or the priority is wrong.
    """
    if not hotlist_id or "/" in hotlist_id:
        raise ValueError(f"hotlist name {hotlist_id!r}: want at least one letter, and no /")
    fields = {
        "hotlist_id": hotlist_id,
        "entry": normalise_entry(entry),
        "priority": priority.lower(),
        "reason": reason,
        "owner": owner,
        "region": region.upper(),
        "valid_from": _moment(valid_from),
        "valid_until": _moment(valid_until),
        "added_at": datetime.now(UTC),
        "added_by": added_by,
    }
    try:
        return msgspec.convert(fields, HotlistEntry)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from error


def _moment(text: str | None) -> datetime | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is no time; write it as 2030-12-31 or 2030-12-31T18:00:00+01:00") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
