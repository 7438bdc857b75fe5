"""`platefleet forget`: delete all that is kept of one plate. In: plate and reason. Out: a report of what went.

The act is in the audit before it begins, with the SHA-256 of the plate in place of its text.
"""

import hashlib
from contextlib import closing
from dataclasses import asdict

import click
import msgspec
from rich.table import Table

from fleet.audit import write
from fleet.errors import CommandError
from fleet.forget_topics import InTopics, PlateInTopics
from fleet.rooms import kafka_security
from fleet.running import find_brokers, find_store
from fleet.settings import Settings, load_settings
from fleet.terminal import err, out, print_json, user
from schemas.hotlist import normalise_entry
from schemas.topics import TOPICS
from store import open_store
from store.forget import Report, shown_in
from store.forget import forget as forget_in_store

_DAY_MS = 86_400_000
_PURGE = (
    "--purge-topics deletes every message before the plate's last one in its partitions, of all vehicles: who has not "
    "read them yet never will, and frames behind other sightings are gone"
)


@click.command()
@click.option("--plate", required=True, help="The whole plate; spaces and dashes do not matter.")
@click.option("--reason", required=True, help="Why: it is written to the audit.")
@click.option("--keep-hotlist", is_flag=True, help="Leave its hotlist entries and wrong hits.")
@click.option("--purge-topics", is_flag=True, help="Delete its messages in Kafka now, with all that came before them.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def forget(plate: str, reason: str, keep_hotlist: bool, purge_topics: bool, yes: bool, as_json: bool) -> None:
    """Delete a plate's sightings, crops, reads, alerts, hotlist entries and state, and print what was deleted.

    It cannot be undone. Messages of Kafka's topics of limited time are left to run out, and the report says until
    when; what is there may be inserted again by a replay: repeat the command after that time. With --purge-topics they
    are deleted at once, and everything before them in their partitions, of all vehicles.
    """
    if not reason.strip():
        raise CommandError("--reason is empty: say why the plate is forgotten")
    text = normalise_entry(plate)
    if not text.isalnum():
        raise CommandError(f"--plate {plate}: one whole plate is forgotten at a time, without ? and *")
    settings = load_settings()
    brokers = _brokers(settings, purge_topics)
    if purge_topics:
        err.print(f"warning: {_PURGE}")
    if not yes:
        click.confirm(f"Delete all that is stored of {text}? This cannot be undone", abort=True, err=True)
    topics = None
    if brokers:
        topics = PlateInTopics(brokers, kafka_security(settings), text, keep_hotlist=keep_hotlist)
    with closing(open_store(find_store(settings), threads=settings.threads, asked_by=user(), reason=reason)) as store:
        digest = hashlib.sha256(text.encode()).hexdigest()
        entry = write(settings, store, "forget", f"sha256:{digest}", reason)
        # Kafka first: what the store would be told again goes before the store forgets it
        found = topics.forget(shown_in(store, text), purge=purge_topics) if topics else None
        report = forget_in_store(store, text, hotlist=found is not None and not keep_hotlist)
    if as_json:
        told = {"complete": report.complete, "audit_hash": entry.hash if entry else "", "kafka": found}
        print_json(asdict(report) | msgspec.to_builtins(told))
    else:
        _print(report)
        _print_topics(found)
    if not report.complete:
        raise CommandError(f"rows of {report.plate} came while it was forgotten: run the command again")


def _brokers(settings: Settings, needed: bool) -> str:
    """Kafka's address; empty where none is set and none runs.

    Raises:
        CommandError: it is needed.
    """
    try:
        return find_brokers(settings)
    except CommandError:
        if needed:
            raise
        return ""


def _print(report: Report) -> None:
    table = Table("table", "what", "rows deleted or changed", "left", title=f"forgotten: {report.plate}")
    for one in report.deleted:
        table.add_row(one.table, one.what, str(one.rows), str(one.left))
    out.print(table)
    for entry in report.hotlist_entries:
        err.print(f"kept: {entry} is on a hotlist; platefleet hotlist remove takes it off")
    if report.audit_rows:
        err.print(f"kept: {report.audit_rows} rows of the audit name the plate; the audit is a chain")


def _print_topics(found: InTopics | None) -> None:
    if found is None:
        kept = ", ".join(
            f"{topic.name} {topic.retention_ms / _DAY_MS:g} d" for topic in TOPICS if topic.retention_ms is not None
        )
        err.print(f"Kafka does not run and was not looked into; it keeps its messages: {kept}")
        return
    if found.removed:
        out.print("\n".join(f"taken back from {one}" for one in found.removed), soft_wrap=True)
    if found.held:
        table = Table("topic", "messages that hold it", "until", "messages deleted")
        for one in found.held:
            until = f"{one.until:%Y-%m-%d %H:%M} UTC" if one.until else "the camera has gone on"
            table.add_row(one.topic, str(one.messages), "gone" if one.purged else until, str(one.purged))
        out.print(table)
