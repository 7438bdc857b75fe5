"""Searches with their audit, and `platefleet audit`. In: SQL, who asks and why. Out: the answer; whether chains hold.

The owner of an embedded store writes each search down by itself. Where there is none, a folder that nobody holds or a
server, this process does, before it asks; programs of one user on one host take turns, since they share a chain.
"""

import fcntl
import re
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager

import click
from rich.table import Column, Table

from fleet.errors import CommandError
from fleet.running import find_store
from fleet.settings import Settings, load_settings
from fleet.terminal import out, print_json, user
from store import Store, StoreRejected, open_store
from store.audit import AuditLog, Entry, Head, is_search, verify
from store.embedded import EmbeddedStore
from store.http import HttpStore
from store.owner import AUDIT_CHAIN

_LOCK = "audit.lock"


def search(settings: Settings, sql: str, wanted: str, reason: str = "") -> bytes:
    """The answer to `sql` in ClickHouse's format `wanted`; a search is in the audit before it runs.

    Raises:
        StoreError: as `Store.query_raw`, or the audit cannot be written.
    """
    address = find_store(settings)
    with closing(open_store(address, threads=settings.threads, asked_by=user(), reason=reason)) as store:
        if is_search(sql) and not keeps_audit(store):
            write(settings, store, "search", sql, reason)
        return store.query_raw(sql, wanted)


def keeps_audit(store: Store) -> bool:
    """Whether the other side of `store` writes searches down by itself."""
    return isinstance(store, HttpStore) and store.keeps_audit()


def write(settings: Settings, store: Store, action: str, statement: str, reason: str) -> Entry | None:
    """Add a row to this user's chain of `store`; None where the store has no audit table.

    Raises:
        StoreError: the row may be in or not.
    """
    chain = AUDIT_CHAIN if isinstance(store, EmbeddedStore) else f"{user()}@{socket.gethostname()}"
    with _alone(settings):
        return AuditLog(store, chain).write(user(), action, statement, reason)


@contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    with (settings.data_dir / _LOCK).open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@click.group()
def audit() -> None:
    """Who searched for what, and why."""


@audit.command("verify")
@click.option(
    "--expect", "noted", multiple=True, metavar="CHAIN=ROWS:HASH", help="What an earlier run said of a chain."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def verify_(noted: tuple[str, ...], as_json: bool) -> None:
    """Check every chain of the audit: a row that was changed, left out or put in is named.

    Rows that were cut off at the end, and chains that are gone, show only against what was noted before: keep what
    this prints elsewhere and give it to --expect.
    """
    expected = dict(map(_noted, noted))
    settings = load_settings()
    with closing(open_store(find_store(settings), threads=settings.threads, asked_by=user())) as store:
        try:
            found = verify(store, expected)
            in_use = bool(found) or bool(store.query("SELECT 1 FROM sightings_raw LIMIT 1"))
        except StoreRejected as error:
            raise CommandError(f"the audit cannot be read: {error} (run: platefleet migrate)") from error
    if as_json:
        for one in found:
            print_json({"chain": one.chain, "rows": one.rows, "head": one.head, "fault": one.fault})
    else:
        # a hash that is cut off is of no use
        table = Table("chain", "state", Column("to be noted elsewhere, for --expect", overflow="fold"))
        for one in found:
            table.add_row(one.chain, one.fault or "whole", f"{one.chain}={one.rows}:{one.head}")
        out.print(table)
    broken = [f"{one.chain}: {one.fault}" for one in found if one.fault]
    if broken:
        raise CommandError(f"the audit is broken: {'; '.join(broken)}")
    if not found and in_use:
        raise CommandError(
            "the audit is empty though the store holds sightings: nobody has searched yet, or it was emptied"
        )


def _noted(text: str) -> tuple[str, Head]:
    chain, _, rest = text.rpartition("=")
    rows, _, head = rest.partition(":")
    if not chain or not rows.isdecimal() or not re.fullmatch(r"[0-9a-f]{64}", head):
        raise CommandError(f"--expect {text}: want CHAIN=ROWS:HASH, as platefleet audit verify prints it")
    return chain, Head(int(rows), head)
