"""`platefleet hotlist`: entries in, messages on fleet.hotlist out; and the entries in force."""

import getpass
from pathlib import Path

import click
import msgspec
from rich.table import Table

from fleet.errors import CommandError
from fleet.hotlists import HotlistBus, make_entry, read_entries
from fleet.terminal import err, out, print_json

_LIST = click.option("--list", "hotlist_id", default="default", show_default=True, help="Name of the hotlist.")
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def _bus() -> HotlistBus:
    from fleet.rooms import kafka_security
    from fleet.running import find_brokers
    from fleet.settings import load_settings

    settings = load_settings()
    return HotlistBus(find_brokers(settings), kafka_security(settings))


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # a container may run as a user without a name
        return ""


@click.group()
def hotlist() -> None:
    """Plates and patterns that raise alerts; ? is one character, * any number."""


@hotlist.command()
@click.argument("entries", nargs=-1, required=True, metavar="PLATE...")
@_LIST
@click.option("--priority", type=click.Choice(["low", "normal", "high"]), default="normal", show_default=True)
@click.option("--reason", default="")
@click.option("--region", default="", help="Only sightings of this region, such as DE or US-CA.")
@click.option("--until", default=None, help="Not after this time, ISO 8601.")
@_JSON
def add(
    entries: tuple[str, ...], hotlist_id: str, priority: str, reason: str, region: str, until: str | None, as_json: bool
) -> None:
    """Add plates or patterns; one that is there already is replaced."""
    found = [
        make_entry(
            hotlist_id, entry, priority=priority, reason=reason, region=region, valid_until=until, added_by=_user()
        )
        for entry in entries
    ]
    count = _bus().put(found)
    if as_json:
        print_json({"hotlist_id": hotlist_id, "added": [entry.entry for entry in found]})
    else:
        err.print(f"{count} on list {hotlist_id}: {', '.join(entry.entry for entry in found)}", markup=False)


@hotlist.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@_LIST
@_JSON
def import_(file: Path, hotlist_id: str, as_json: bool) -> None:
    """Add all entries of a CSV file (column entry or plate) or of a text file, one a line."""
    found = read_entries(file, hotlist_id, _user())
    count = _bus().put(found)
    if as_json:
        print_json({"hotlist_id": hotlist_id, "file": str(file), "imported": count})
    else:
        err.print(f"{file}: {count} entries on list {hotlist_id}", markup=False)


@hotlist.command("list")
@click.option("--list", "hotlist_id", default=None, help="Only this hotlist.")
@_JSON
def list_(hotlist_id: str | None, as_json: bool) -> None:
    """Print the entries in force."""
    found = [entry for entry in _bus().entries() if hotlist_id in (None, entry.hotlist_id)]
    if as_json:
        for entry in found:
            print_json(msgspec.to_builtins(entry))
        return
    table = Table("list", "entry", "priority", "region", "reason", "until", "added by")
    for entry in found:
        until = f"{entry.valid_until:%Y-%m-%d %H:%M}" if entry.valid_until else ""
        table.add_row(entry.hotlist_id, entry.entry, entry.priority, entry.region, entry.reason, until, entry.added_by)
    out.print(table)


@hotlist.command()
@click.argument("entries", nargs=-1, required=True, metavar="PLATE...")
@_LIST
@_JSON
def remove(entries: tuple[str, ...], hotlist_id: str, as_json: bool) -> None:
    """Take plates or patterns off a list."""
    bus = _bus()
    wanted = {make_entry(hotlist_id, entry).key: entry for entry in entries}
    there = {entry.key for entry in bus.entries()}
    missing = [entry for key, entry in wanted.items() if key not in there]
    if missing:
        raise CommandError(f"not on list {hotlist_id}: {', '.join(missing)}; nothing was removed")
    bus.remove(wanted)
    if as_json:
        print_json({"hotlist_id": hotlist_id, "removed": [key.partition("/")[2] for key in wanted]})
    else:
        err.print(f"{len(wanted)} taken off list {hotlist_id}", markup=False)
