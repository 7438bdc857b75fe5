"""`platefleet alerts`: the public topic of alerts in, a line or a JSON object per alert out; wrong hits back."""

import sys
import time
import uuid
from contextlib import closing

import click
import msgspec

from fleet.terminal import err, out, print_json, stop_event, user
from plumbing.bus import TopicPartition
from schemas.alert import Alert
from schemas.codec import SchemaError, decode_json


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Alerts as they lie on the topic, one JSON object a line.")
@click.option("--from-beginning", is_flag=True, help="Also those that are kept from before.")
@click.option(
    "--group", default="", help="Consumer group: start where it left off, and share the work with its members."
)
@click.option("--count", type=click.IntRange(min=1), default=None, help="End after so many.")
@click.option("--timeout", type=click.FloatRange(min=0), default=None, help="End after so many seconds without one.")
@click.pass_context
def alerts(
    context: click.Context, as_json: bool, from_beginning: bool, group: str, count: int | None, timeout: float | None
) -> None:
    """Subscribe to alerts and print them until Ctrl-C.

    Any Kafka client can do the same: topic fleet.alerts, JSON.
    """
    if context.invoked_subcommand is None:
        _subscribe(as_json, from_beginning, group, count, timeout)


def _subscribe(as_json: bool, from_beginning: bool, group: str, count: int | None, timeout: float | None) -> None:
    from fleet.rooms import kafka_security
    from fleet.running import find_brokers
    from fleet.settings import load_settings
    from fleet.topic_reader import require_topic
    from plumbing.kafka_bus import KafkaBusConsumer
    from schemas.topics import ALERTS

    settings = load_settings()
    brokers, security = find_brokers(settings), kafka_security(settings)
    require_topic(brokers, ALERTS.name, security)
    name = group or f"platefleet-alerts-{uuid.uuid4()}"
    consumer = KafkaBusConsumer(
        brokers, name, "platefleet-alerts", from_beginning=from_beginning or bool(group), security=security
    )
    if not as_json:
        err.print(f"alerts of {brokers}, Ctrl-C ends")
    seen, last = 0, time.monotonic()
    with stop_event() as stop, closing(consumer):
        consumer.subscribe([ALERTS.name])
        while not stop.is_set() and seen != count:
            records = consumer.poll(0.2, max_records=500 if count is None else count - seen)
            for record in records:
                _print(record.value or b"", as_json)
            if records:
                seen, last = seen + len(records), time.monotonic()
                if group:
                    # after printing: a crash in between prints again, and loses none
                    consumer.commit({TopicPartition(r.topic, r.partition): r.offset + 1 for r in records})
            elif timeout is not None and time.monotonic() - last > timeout:
                return


def _print(value: bytes, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(value.decode("utf-8", errors="replace") + "\n")
        sys.stdout.flush()
        return
    try:
        out.print(alert_line(decode_json(value, Alert)), soft_wrap=True)
    except SchemaError as error:
        err.print(f"a message that is no alert: {error}")


def alert_line(alert: Alert) -> str:
    """One alert for a person."""
    what = "ALERT" if alert.status == "raised" else "withdrawn"
    place = "" if alert.lat is None or alert.lon is None else f" at {alert.lat:.5f},{alert.lon:.5f}"
    why = f" ({alert.reason})" if alert.reason else ""
    met = f"{alert.match} match of {alert.entry} on" if alert.entry else "not on"
    past = "past sighting, " if alert.look_back else ""
    return (
        f"{alert.seen_at:%Y-%m-%d %H:%M:%S} {what} {alert.priority}: {alert.plate} {alert.confidence:.0%} seen by "
        f"{alert.camera_id}{place}; {past}{met} {alert.hotlist_id}{why}"
    )


@alerts.command()
@click.argument("alert_id", required=False)
@click.option("--truth", default="", help="What the plate says.")
@click.option("--silence", is_flag=True, help="Silence also an entry whose own text was read.")
@click.option("--undo", is_flag=True, help="The hit was right: let the pair alert again, and forget it.")
@click.option("--list", "print_all", is_flag=True, help="Print all wrong hits; with --json whole, for training.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def wrong(alert_id: str | None, truth: str, silence: bool, undo: bool, print_all: bool, as_json: bool) -> None:
    """Say that an alert's plate was another one: this entry and this text raise no alert from now on."""
    from fleet.audit import search
    from fleet.hotlists import HotlistBus, only
    from fleet.rooms import kafka_security
    from fleet.running import find_brokers
    from fleet.settings import load_settings
    from fleet.wrong_hits import find_wrong_hit
    from schemas.hotlist import WrongHit, normalise_entry

    if print_all == bool(alert_id):
        raise click.UsageError("give an ALERT_ID, or --list")
    settings = load_settings()
    bus = HotlistBus(find_brokers(settings), kafka_security(settings))
    if print_all:
        for one in only(bus.records(), WrongHit):
            if as_json:
                print_json(msgspec.to_builtins(one))
            else:
                note = "" if one.suppress else ", not silenced"
                out.print(f"{one.hotlist_id}/{one.entry}: read {one.plate}, is {one.truth or '?'}{note}")
        return
    hit = find_wrong_hit(
        lambda sql: search(settings, sql, "JSONEachRow", "wrong hit"),
        alert_id or "",
        truth=normalise_entry(truth) if truth else "",
        silence=silence,
        by=user(),
    )
    if undo:
        bus.remove([hit.key])
    else:
        bus.put([hit])
    if as_json:
        print_json({"key": hit.key, "suppressed": hit.suppress and not undo})
    elif undo:
        err.print(f"{hit.entry} and {hit.plate} alert again")
    elif hit.suppress:
        err.print(f"{hit.entry or 'the list'} on {hit.hotlist_id} and {hit.plate} alert no more")
    else:
        err.print(f"kept for training; {hit.plate} is the entry itself and still alerts (see --silence)")
