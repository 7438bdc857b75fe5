"""`platefleet forget`: delete all that is stored of one plate. In: plate and reason. Out: a report of what went.

The act is in the audit before it begins, with the SHA-256 of the plate in place of its text.
"""

import hashlib
from contextlib import closing
from dataclasses import asdict

import click
from rich.table import Table

from fleet.audit import user, write
from fleet.errors import CommandError
from fleet.running import find_store
from fleet.settings import load_settings
from fleet.terminal import err, out, print_json
from schemas.hotlist import normalise_entry
from schemas.topics import ALERTS, FRAMES, READS, SIGHTINGS
from store import open_store
from store.forget import Report
from store.forget import forget as forget_in_store

_DAY_MS = 86_400_000


@click.command()
@click.option("--plate", required=True, help="The whole plate; spaces and dashes do not matter.")
@click.option("--reason", required=True, help="Why: it is written to the audit.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def forget(plate: str, reason: str, yes: bool, as_json: bool) -> None:
    """Delete a plate's sightings, crops, reads and alerts, and print what was deleted.

    It cannot be undone. Messages in Kafka are left to run out, and what is there may be inserted again by a replay:
    repeat the command after that time. Entries of hotlists are kept.
    """
    if not reason.strip():
        raise CommandError("--reason is empty: say why the plate is forgotten")
    text = normalise_entry(plate)
    if not text.isalnum():
        raise CommandError(f"--plate {plate}: one whole plate is forgotten at a time, without ? and *")
    if not yes:
        click.confirm(f"Delete all that is stored of {text}? This cannot be undone", abort=True, err=True)
    settings = load_settings()
    with closing(open_store(find_store(settings), threads=settings.threads, asked_by=user(), reason=reason)) as store:
        digest = hashlib.sha256(text.encode()).hexdigest()
        entry = write(settings, store, "forget", f"sha256:{digest}", reason)
        report = forget_in_store(store, text)
    if as_json:
        print_json(asdict(report) | {"complete": report.complete, "audit_hash": entry.hash if entry else ""})
    else:
        _print(report)
    if not report.complete:
        raise CommandError(f"rows of {report.plate} came while it was forgotten: run the command again")


def _print(report: Report) -> None:
    table = Table("table", "what", "rows deleted or changed", "left", title=f"forgotten: {report.plate}")
    for one in report.deleted:
        table.add_row(one.table, one.what, str(one.rows), str(one.left))
    out.print(table)
    for entry in report.hotlist_entries:
        err.print(f"kept: {entry} is on a hotlist; platefleet hotlist remove takes it off", markup=False)
    if report.audit_rows:
        err.print(f"kept: {report.audit_rows} rows of the audit name the plate; the audit is a chain", markup=False)
    kept = ", ".join(
        f"{topic.name} {topic.retention_ms / _DAY_MS:g} d"
        for topic in (FRAMES, READS, SIGHTINGS, ALERTS)
        if topic.retention_ms
    )
    err.print(f"kept in Kafka until it runs out: {kept}", markup=False)
