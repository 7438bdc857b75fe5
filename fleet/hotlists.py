"""Hotlists as a topic. In: entries, rules, wrong hits. Out: messages on fleet.hotlist, and what is in force there."""

import re
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

import msgspec

from fleet.terminal import err
from fleet.topic_reader import read_topic, require_topic
from plumbing.bus import Sent
from plumbing.kafka_bus import KafkaBusProducer, KafkaSecurity
from schemas.codec import SchemaError, decode_json, encode_json
from schemas.hotlist import HotlistEntry, HotlistRecord, HotlistRules, WrongHit, normalise_entry, record_type
from schemas.topics import HOTLIST

_REGION = re.compile(r"^[A-Z]{2}(-[A-Z0-9]{1,3})?$")
_ON_THE_WAY = 4_096
Kind = TypeVar("Kind", HotlistEntry, HotlistRules, WrongHit)


@dataclass(frozen=True, slots=True)
class HotlistBus:
    """Where hotlists live."""

    brokers: str
    security: KafkaSecurity

    def put(self, records: Iterable[HotlistRecord]) -> int:
        """Write entries, rules and wrong hits, and return how many once the broker has them all.

        Raises:
            BusError: the broker cannot be reached or refuses.
        """
        return self._send((record.key, encode_json(record)) for record in records)

    def remove(self, keys: Iterable[str]) -> int:
        """Take records out by their keys, such as `hotlist_id/entry`."""
        return self._send((key, None) for key in keys)

    def _send(self, messages: Iterable[tuple[str, bytes | None]]) -> int:
        require_topic(self.brokers, HOTLIST.name, self.security)
        count = 0
        sent: deque[Future[Sent]] = deque()
        with closing(
            KafkaBusProducer(
                self.brokers, "platefleet-cli", max_unacknowledged=_ON_THE_WAY, linger_ms=20, security=self.security
            )
        ) as producer:
            for key, value in messages:
                sent.append(producer.send(HOTLIST.name, value, key=key.encode()))
                count += 1
                while len(sent) > 2 * _ON_THE_WAY:
                    sent.popleft().result(30.0)
            producer.flush(30.0)
            for future in sent:
                future.result(1.0)
        return count

    def records(self) -> list[HotlistRecord]:
        """All that is in force, by key. What cannot be read is passed over with a note: the streams do the same."""
        state: dict[bytes, HotlistRecord] = {}
        for record in read_topic(self.brokers, HOTLIST.name, self.security):
            key = record.key or b""
            state.pop(key, None)
            if not record.value:
                continue
            try:
                state[key] = decode_json(record.value, record_type(key.decode()))
            except (SchemaError, UnicodeDecodeError) as error:
                err.print(f"offset {record.offset} of {HOTLIST.name} is passed over: {error}")
        return [state[key] for key in sorted(state)]

    def entries(self) -> list[HotlistEntry]:
        """All entries in force, by key."""
        return only(self.records(), HotlistEntry)


def only(records: Iterable[HotlistRecord], kind: type[Kind]) -> list[Kind]:
    """Those of one kind."""
    return [record for record in records if isinstance(record, kind)]


def check_name(hotlist_id: str) -> str:
    """A list's name.

    Raises:
        ValueError: it is empty or holds a slash.
    """
    if not hotlist_id or "/" in hotlist_id:
        raise ValueError(f"hotlist name {hotlist_id!r}: want at least one letter, and no /")
    return hotlist_id


def check_region(text: str) -> str:
    """A region in capitals, or nothing.

    Raises:
        ValueError: it is not of the form DE or US-CA: no sighting would ever be of it.
    """
    region = text.upper()
    if region and not _REGION.match(region):
        raise ValueError(f"region {text!r:.40}: write ISO 3166 codes such as DE or US-CA")
    return region


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
    partial: bool = False,
    added_by: str = "",
    added_at: datetime | None = None,
) -> HotlistEntry:
    """An entry from what a person wrote; times in ISO 8601, UTC where no zone is given.

    Args:
        hotlist_id: name of the list.
        entry: plate or pattern.
        partial: a part of a plate: whatever may stand before and behind it.

    Raises:
        ValueError: the entry, a time, or the priority is wrong.
    """
    begin, end = moment(valid_from), moment(valid_until)
    if begin and end and end <= begin:
        raise ValueError(f"it ends {end:%Y-%m-%d %H:%M}, before it begins")
    text = normalise_entry(entry)
    fields = {
        "hotlist_id": check_name(hotlist_id),
        "entry": normalise_entry(f"*{text}*") if partial else text,
        "priority": priority.lower(),
        "reason": reason,
        "owner": owner,
        "region": check_region(region),
        "valid_from": begin,
        "valid_until": end,
        "added_at": added_at or datetime.now(UTC),
        "added_by": added_by,
    }
    try:
        return msgspec.convert(fields, HotlistEntry)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from error


def moment(text: str | None) -> datetime | None:
    """A time that a person wrote in ISO 8601; UTC where no zone is given.

    Raises:
        ValueError: it is no time.
    """
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r:.40} is no time; write it as 2030-12-31 or 2030-12-31T18:00:00+01:00") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
