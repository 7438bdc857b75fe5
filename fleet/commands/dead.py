"""`platefleet dead`: the topic of dead letters in; a table of them out, or their records back on their topics."""

from collections.abc import Iterator
from contextlib import closing

import click
import msgspec
from rich.table import Table

from fleet.errors import CommandError
from fleet.terminal import err, out, print_json
from fleet.topic_reader import read_topic
from plumbing.bus import Record, TopicPartition
from plumbing.kafka_bus import KafkaBusConsumer, KafkaBusProducer, KafkaSecurity
from schemas.codec import SchemaError, decode_dead
from schemas.dead import DeadLetter
from schemas.topics import DEAD

_GROUP = "platefleet-dead-replay"
Letter = tuple[DeadLetter, list[tuple[str, bytes]], Record]


def _kafka() -> tuple[str, KafkaSecurity]:
    from fleet.rooms import kafka_security
    from fleet.running import find_brokers
    from fleet.settings import load_settings

    settings = load_settings()
    return find_brokers(settings), kafka_security(settings)


def _letters(records: Iterator[Record]) -> Iterator[Letter]:
    """Letters, each once."""
    seen = set()
    for record in records:
        try:
            letter, headers = decode_dead(record.headers)
        except SchemaError as error:
            err.print(f"offset {record.offset} of {DEAD.name} is no dead letter: {error}")
            continue
        if letter.dead_id not in seen:
            seen.add(letter.dead_id)
            yield letter, headers, record


@click.group()
def dead() -> None:
    """Messages that could not be processed, kept for 14 days with their reason."""


@dead.command("list")
@click.option("--reason", default=None, help="Only this reason.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def list_(reason: str | None, as_json: bool) -> None:
    """Print the dead letters."""
    brokers, security = _kafka()
    table = Table("at", "stage", "reason", "from", "trace", "bytes", "detail")
    for letter, _, record in _letters(read_topic(brokers, DEAD.name, security)):
        if reason not in (None, letter.reason):
            continue
        size = len(record.value or b"")
        if as_json:
            print_json(msgspec.to_builtins(letter) | {"bytes": size})
            continue
        origin = f"{letter.origin_topic}-{letter.origin_partition}@{letter.origin_offset}"
        table.add_row(
            f"{letter.at:%m-%d %H:%M:%S}",
            letter.stage,
            letter.reason,
            origin,
            letter.trace_id,
            str(size),
            letter.detail,
        )
    if not as_json:
        out.print(table if table.row_count else "no dead letters")


@dead.command()
@click.option("--reason", default=None, help="Only letters of this reason.")
@click.option("--id", "ids", multiple=True, help="Only this letter; may be repeated.")
@click.option("--all", "everything", is_flag=True, help="Also those that were replayed before.")
@click.option("--dry-run", is_flag=True, help="Only say what would be sent.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def replay(reason: str | None, ids: tuple[str, ...], everything: bool, dry_run: bool, as_json: bool) -> None:
    """Put records back on the topics that they came from, as they were, after a fix.

    Without --reason, --id and --all: those that came since the last replay.
    """
    brokers, security = _kafka()
    chosen = bool(reason or ids or everything)
    found = list(_letters(read_topic(brokers, DEAD.name, security, "" if chosen else _GROUP)))
    wanted = [one for one in found if reason in (None, one[0].reason) and (not ids or one[0].dead_id in ids)]
    unknown = set(ids) - {letter.dead_id for letter, _, _ in wanted}
    if unknown:
        raise CommandError(f"no such dead letter: {', '.join(sorted(unknown))}; `platefleet dead list --json` has ids")
    if not dry_run:
        _send_back(brokers, security, wanted)
        if not chosen:
            _remember(brokers, security, found)
    for letter, _, _ in wanted:
        if as_json:
            print_json({"dead_id": letter.dead_id, "topic": letter.origin_topic, "replayed": not dry_run})
    if not as_json:
        err.print(f"{len(wanted)} records {'would go' if dry_run else 'went'} back to their topics")


def _send_back(brokers: str, security: KafkaSecurity, letters: list[Letter]) -> None:
    with closing(KafkaBusProducer(brokers, "platefleet-cli", security=security)) as producer:
        sent = [
            # the same partition: the record's key may not be what chose it
            producer.send(
                letter.origin_topic, record.value, key=record.key, headers=headers, partition=letter.origin_partition
            )
            for letter, headers, record in letters
        ]
        producer.flush(60.0)
        for future in sent:
            future.result(1.0)


def _remember(brokers: str, security: KafkaSecurity, letters: list[Letter]) -> None:
    if not letters:
        return
    with closing(KafkaBusConsumer(brokers, _GROUP, "platefleet-cli", security=security)) as consumer:
        consumer.subscribe([DEAD.name])
        while not consumer.assignment():
            consumer.poll(0.2, max_records=1)
        ends: dict[TopicPartition, int] = {}
        for _, _, record in letters:
            part = TopicPartition(record.topic, record.partition)
            ends[part] = max(ends.get(part, 0), record.offset + 1)
        consumer.commit(ends)
