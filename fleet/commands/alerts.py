"""`platefleet alerts`: the public topic of alerts in, a line or a JSON object per alert out."""

import sys
import time
import uuid
from contextlib import closing

import click

from fleet.terminal import err, out, stop_event
from plumbing.bus import TopicPartition
from schemas.alert import Alert
from schemas.codec import SchemaError, decode_json


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Alerts as they lie on the topic, one JSON object a line.")
@click.option("--from-beginning", is_flag=True, help="Also those that are kept from before.")
@click.option(
    "--group", default="", help="Consumer group: start where it left off, and share the work with its members."
)
@click.option("--count", type=click.IntRange(min=1), default=None, help="End after so many.")
@click.option("--timeout", type=click.FloatRange(min=0), default=None, help="End after so many seconds without one.")
def alerts(as_json: bool, from_beginning: bool, group: str, count: int | None, timeout: float | None) -> None:
    """Subscribe to alerts and print them until Ctrl-C.

    Any Kafka client can do the same: topic fleet.alerts, JSON.
    """
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
        out.print(alert_line(decode_json(value, Alert)), markup=False, soft_wrap=True)
    except SchemaError as error:
        err.print(f"a message that is no alert: {error}", markup=False)


def alert_line(alert: Alert) -> str:
    """One alert for a person."""
    what = "ALERT" if alert.status == "raised" else "withdrawn"
    place = "" if alert.lat is None or alert.lon is None else f" at {alert.lat:.5f},{alert.lon:.5f}"
    why = f" ({alert.reason})" if alert.reason else ""
    return (
        f"{alert.seen_at:%Y-%m-%d %H:%M:%S} {what} {alert.priority}: {alert.plate} {alert.confidence:.0%} seen by "
        f"{alert.camera_id}{place}; {alert.match} match of {alert.entry} on {alert.hotlist_id}{why}"
    )
