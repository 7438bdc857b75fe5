"""`platefleet hotlist`: entries and rules in, messages on fleet.hotlist out; what is in force; past sightings."""

import resource
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec
from rich.table import Table

from fleet.errors import CommandError
from fleet.hotlists import HotlistBus, check_name, make_entry, only
from fleet.terminal import err, out, print_json, user
from schemas.hotlist import HotlistEntry, HotlistRecord, HotlistRules

if TYPE_CHECKING:
    from fleet.hotlist_files import FileRead
    from fleet.settings import Settings
    from schemas.alert import Alert

_LIST = click.option("--list", "hotlist_id", default="default", show_default=True, help="Name of the hotlist.")
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_PRIORITY = click.Choice(["low", "normal", "high"])
_FROM = "Not before this time, ISO 8601; UTC where no zone is given."
_UNTIL = "Before this time, ISO 8601; UTC where no zone is given."
_TOLD = 10


def _bus(settings: "Settings | None" = None) -> HotlistBus:
    from fleet.rooms import kafka_security
    from fleet.running import find_brokers
    from fleet.settings import load_settings

    settings = settings or load_settings()
    return HotlistBus(find_brokers(settings), kafka_security(settings))


@click.group()
def hotlist() -> None:
    """Plates and patterns that raise alerts; ? is one character, * any number."""


@hotlist.command()
@click.argument("entries", nargs=-1, required=True, metavar="PLATE...")
@_LIST
@click.option("--partial", is_flag=True, help="They are parts of plates: anything may stand before and behind.")
@click.option("--priority", type=_PRIORITY, default="normal", show_default=True, help="normal: as the list says.")
@click.option("--reason", default="")
@click.option("--owner", default="")
@click.option("--region", default="", help="Only sightings of this region, such as DE or US-CA.")
@click.option("--from", "valid_from", default=None, help=_FROM)
@click.option("--until", "valid_until", default=None, help=_UNTIL)
@click.option("--look-back", "back", default=None, help="Also tell of sightings in the past, such as 30d, 12h, 90m.")
@click.option("--alert", "raise_alerts", is_flag=True, help="... and raise alerts of them.")
@click.option("--no-twins", is_flag=True, help="Do not look for look-alikes on the list: quicker on a long one.")
@_JSON
def add(
    entries: tuple[str, ...],
    hotlist_id: str,
    back: str | None,
    raise_alerts: bool,
    no_twins: bool,
    as_json: bool,
    **fields: Any,
) -> None:
    """Add plates or patterns; one that is there already is replaced."""
    from fleet.look_back import span
    from fleet.settings import load_settings

    if raise_alerts and not back:
        raise click.UsageError("--alert needs --look-back")
    since = datetime.now(UTC) - span(back) if back else None
    found = [make_entry(hotlist_id, entry, added_by=user(), **fields) for entry in entries]
    settings = load_settings()
    bus = _bus(settings)
    records = [] if no_twins and since is None else bus.records()
    count = bus.put(found)
    if not no_twins:
        _warn_of_twins(found, records)
    alerts, sent = _look_back(settings, bus, found, records, since, raise_alerts) if since else ([], 0)
    if as_json:
        told: dict[str, Any] = {"hotlist_id": hotlist_id, "added": [entry.entry for entry in found]}
        if since:
            told |= {"look_back": [msgspec.to_builtins(_without_picture(one)) for one in alerts], "raised": sent}
        print_json(told)
        return
    err.print(f"{count} on list {hotlist_id}: {', '.join(entry.entry for entry in found)}")
    if since:
        _print_past(alerts, since, sent, raise_alerts)


def _warn_of_twins(found: Sequence[HotlistEntry], records: Sequence[HotlistRecord]) -> None:
    from fleet.hotlist_files import look_alike
    from streams.likeness import skeleton

    looks: dict[str, set[str]] = {}
    for entry in (*only(records, HotlistEntry), *found):
        if entry.hotlist_id == found[0].hotlist_id:
            looks.setdefault(skeleton(entry.entry), set()).add(entry.entry)
    for entry in found:
        twins = sorted(t for t in looks[skeleton(entry.entry)] if look_alike(t, entry.entry))
        if twins:
            err.print(f"warning: {entry.entry} looks like {', '.join(twins[:_TOLD])}, on the list, too")


def _look_back(
    settings: "Settings",
    bus: HotlistBus,
    found: Sequence[HotlistEntry],
    records: Sequence[HotlistRecord],
    since: datetime,
    raise_alerts: bool,
) -> "tuple[list[Alert], int]":
    """Alerts of the past, and how many of them were sent."""
    from fleet.audit import search
    from fleet.look_back import look_back, told_before, with_pictures

    def ask(sql: str) -> bytes:
        return search(settings, sql, "JSONEachRow", f"look-back of {found[0].hotlist_id}")

    now_ms = time.time_ns() // 1_000_000
    alerts = look_back(ask, found, records, since, now_ms, settings.candidate_threshold)
    if not raise_alerts:
        return alerts, 0
    known = told_before(ask, alerts)
    return alerts, _send(with_pictures(ask, [alert for alert in alerts if alert.alert_id not in known]), bus)


def _send(alerts: "Sequence[Alert]", bus: HotlistBus) -> int:
    from fleet.topic_reader import require_topic
    from plumbing.kafka_bus import KafkaBusProducer
    from schemas.codec import encode_json
    from schemas.topics import ALERTS

    require_topic(bus.brokers, ALERTS.name, bus.security)
    with closing(KafkaBusProducer(bus.brokers, "platefleet-cli", security=bus.security)) as producer:
        sent = [producer.send(ALERTS.name, encode_json(one), key=one.plate.encode()) for one in alerts]
        producer.flush(60.0)
        for future in sent:
            future.result(1.0)
    return len(alerts)


def _without_picture(alert: "Alert") -> "Alert":
    return msgspec.structs.replace(alert, evidence=None)


def _print_past(alerts: "Sequence[Alert]", since: datetime, sent: int, raise_alerts: bool) -> None:
    from fleet.commands.alerts import alert_line

    for alert in alerts:
        out.print(alert_line(alert), soft_wrap=True)
    end = f"; {sent} alerts raised, {len(alerts) - sent} had been before" if raise_alerts else ""
    err.print(f"{len(alerts)} past sightings since {since:%Y-%m-%d %H:%M} UTC{end}")


@hotlist.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@_LIST
@click.option("--skip-bad", is_flag=True, help="Import the other rows when some are bad.")
@click.option("--dry-run", is_flag=True, help="Only say what the file holds.")
@_JSON
def import_(file: Path, hotlist_id: str, skip_bad: bool, dry_run: bool, as_json: bool) -> None:
    """Add all entries of a CSV file (column entry or plate) or of a text file, one a line.

    Bad rows are told with their line; then nothing is imported, but with --skip-bad the others.
    """
    from fleet.hotlist_files import read_file

    begin = time.monotonic()
    found = read_file(file, check_name(hotlist_id), user())
    _tell_of_file(file, found)
    if found.bad and not skip_bad:
        raise CommandError(f"{file}: {found.bad} of {found.rows} rows are bad; nothing was imported (see --skip-bad)")
    count = 0 if dry_run else _bus().put(found.entries)
    seconds, memory = time.monotonic() - begin, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    if as_json:
        print_json(
            {
                "hotlist_id": hotlist_id,
                "file": str(file),
                "imported": count,
                "bad": found.bad,
                "repeated": found.repeated,
                "twins": found.twins,
                "seconds": round(seconds, 2),
                "memory_mb": round(memory),
            }
        )
        return
    what = f"{len(found.entries)} entries, not imported" if dry_run else f"{count} entries on list {hotlist_id}"
    err.print(f"{file}: {what} ({seconds:.1f} s, {memory:,.0f} MB)")


def _tell_of_file(file: Path, found: "FileRead") -> None:
    for line, why in found.bad_rows:
        err.print(f"{file}:{line}: {why}", soft_wrap=True)
    if found.bad > len(found.bad_rows):
        err.print(f"... and {found.bad - len(found.bad_rows)} more bad rows")
    if found.repeated:
        err.print(f"{found.repeated} rows say again what another one says")
    if found.twins:
        pairs = ", ".join(f"{a} and {b}" for a, b in found.twin_pairs[:_TOLD])
        more = ", ..." if found.twins > _TOLD else ""
        err.print(f"warning: {found.twins} entries look like another one: {pairs}{more}", soft_wrap=True)


@hotlist.command()
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@_LIST
def export(file: Path, hotlist_id: str) -> None:
    """Write a list's entries as CSV that `import` takes; - is standard output. Rules are printed by `rules --json`."""
    from fleet.hotlist_files import write_file

    begin = time.monotonic()
    found = [entry for entry in _bus().entries() if entry.hotlist_id == hotlist_id]
    if str(file) == "-":
        count = write_file(sys.stdout, found)
    else:
        try:
            with file.open("w", encoding="utf-8", newline="") as target:
                count = write_file(target, found)
        except OSError as error:
            raise CommandError(f"{file}: {(error.strerror or str(error)).lower()}") from error
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    err.print(f"{count} entries of list {hotlist_id} ({time.monotonic() - begin:.1f} s, {memory:,.0f} MB)")


@hotlist.command("list")
@click.option("--list", "hotlist_id", default=None, help="Only this hotlist.")
@_JSON
def list_(hotlist_id: str | None, as_json: bool) -> None:
    """Print the entries in force, and which lists have rules."""
    records = [one for one in _bus().records() if hotlist_id in (None, one.hotlist_id)]
    entries, ruled = only(records, HotlistEntry), only(records, HotlistRules)
    if as_json:
        for entry in entries:
            print_json(msgspec.to_builtins(entry))
        return
    table = Table("list", "entry", "priority", "region", "reason", "until", "added by")
    for entry in entries:
        until = f"{entry.valid_until:%Y-%m-%d %H:%M}" if entry.valid_until else ""
        table.add_row(entry.hotlist_id, entry.entry, entry.priority, entry.region, entry.reason, until, entry.added_by)
    out.print(table)
    for rules in ruled:
        out.print(f"list {rules.hotlist_id}: {_in_words(rules)}", soft_wrap=True)


def _in_words(rules: HotlistRules) -> str:
    """What is not the default."""
    fields = msgspec.to_builtins(rules)
    plain = msgspec.to_builtins(HotlistRules(hotlist_id="", updated_at=rules.updated_at))
    told = [
        f"{name} {'set' if name == 'area' else value}"
        for name, value in fields.items()
        if value != plain[name] and name not in ("hotlist_id", "updated_by")
    ]
    return ", ".join(told) or "no rules"


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
        err.print(f"{len(wanted)} taken off list {hotlist_id}")


@hotlist.command()
@click.argument("hotlist_id", metavar="LIST")
@click.option("--kind", type=click.Choice(["alert", "ignore", "allow"]), help="What being on the list means.")
@click.option("--priority", type=_PRIORITY)
@click.option("--reason")
@click.option("--owner")
@click.option("--region", help="Only sightings of this region.")
@click.option("--strict-region/--lenient-region", "strict_region", default=None, help="Whether unknown regions miss.")
@click.option("--from", "valid_from", help=_FROM)
@click.option("--until", "valid_until", help=_UNTIL)
@click.option("--hours", "schedule", multiple=True, help="'mon-fri 22:00-06:00'; may be repeated.")
@click.option("--time-zone", help="Of the hours, such as Europe/Berlin.")
@click.option("--area", help="GeoJSON file with polygons.")
@click.option("--direction", type=click.Choice(["approaching", "receding", ""]), help="Of the vehicle.")
@click.option("--headings", help="Of the camera, degrees clockwise, as 350-45.")
@click.option("--cool-down", "cool_down_s", type=click.FloatRange(min=0), help="Seconds without a second alert.")
@click.option("--cool-down-metres", "cool_down_m", type=click.FloatRange(min=0), help="What the same place is.")
@click.option("--ocr-equivalent", type=click.IntRange(0, 2), help="So many look-alikes may stand for each other.")
@click.option("--differences", type=click.IntRange(0, 2), help="So many characters may differ.")
@click.option("--near-from", type=click.IntRange(0, 16), help="... of entries of so many characters at least.")
@click.option("--threshold", help="Least match probability of an alert, 0 to 1.")
@click.option("--remove", "drop", is_flag=True, help="Take the rules away: the defaults hold.")
@_JSON
def rules(hotlist_id: str, drop: bool, as_json: bool, **changes: Any) -> None:
    """Print what holds for a list, or change what is named; '' takes a rule away."""
    from fleet.hotlist_rules import change_rules

    bus = _bus()
    known = next((one for one in only(bus.records(), HotlistRules) if one.hotlist_id == hotlist_id), None)
    wanted = {name: value for name, value in changes.items() if value not in (None, ())}
    if drop:
        if known is None or wanted:
            raise CommandError(f"list {hotlist_id} has no rules" if known is None else "--remove goes alone")
        bus.remove([known.key])
        known = None
    elif wanted:
        known = change_rules(known, hotlist_id, wanted, datetime.now(UTC), user())
        bus.put([known])
    if as_json:
        print_json(msgspec.to_builtins(known))
    else:
        out.print(
            f"list {hotlist_id}: {_in_words(known) if known else 'no rules, the defaults hold'}",
            soft_wrap=True,
        )
