"""`platefleet deliver`: alerts to webhooks, MQTT and people, until SIGTERM; and how far each target is."""

import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec
from rich.table import Table

from fleet.commands.processes import announce, begin
from fleet.errors import CommandError
from fleet.terminal import err, out, print_json, stop_event

if TYPE_CHECKING:
    from fleet.settings import Settings

STATUS_NAME = "delivery.json"
_OLD_S = 10.0


@click.command()
@click.option("--brokers", default=None, help="Kafka; default: PLATEFLEET_BROKERS, or that of a running `up`.")
@click.option("--wait", type=click.FloatRange(min=0), default=60.0, show_default=True, help="Seconds for the topics.")
@click.option("--ready-file", type=click.Path(path_type=Path), default=None, help="Written when the process serves.")
@click.option("--status", "show", is_flag=True, help="Only print how far each target is, as the process last told.")
@click.option("--test", "tested", default=None, metavar="NAME", help="Only send one invented alert to this target.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def deliver(
    brokers: str | None, wait: float, ready_file: Path | None, show: bool, tested: str | None, as_json: bool
) -> None:
    """Deliver alerts to the targets of the settings: webhooks, MQTT, e-mail and whatever Apprise knows.

    A webhook or MQTT broker that is down loses nothing: its alerts wait on the topic until it takes them. What people
    cannot be told for hours (PLATEFLEET_DELIVER_NOTIFY_HOURS) becomes a dead letter.
    """
    from fleet.settings import load_settings

    if show:
        _print_status(load_settings(), as_json)
    elif tested is not None:
        _test(load_settings(), tested)
    else:
        _run(begin("deliver"), brokers, wait, ready_file)


def _run(settings: "Settings", brokers: str | None, wait: float, ready_file: Path | None) -> None:
    from delivery.service import run
    from fleet.readiness import wait_for_topics
    from fleet.rooms import delivery_settings, kafka_security
    from fleet.running import find_brokers
    from plumbing.metrics import MetricsServer

    if not settings.targets:
        raise CommandError("no target is set; write [targets.NAME] into platefleet.toml, see docs/alerts.md")
    address = brokers or find_brokers(settings)
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    with stop_event() as stop:
        if not wait_for_topics(address, wait, stop, kafka_security(settings)):
            return
        port = settings.deliver_metrics_port
        served = MetricsServer(port, settings.metrics_host) if port is not None else None
        try:
            run(delivery_settings(settings, address), stop, announce(ready_file), settings.data_dir / STATUS_NAME)
        finally:
            if served is not None:
                served.close()


def _print_status(settings: "Settings", as_json: bool) -> None:
    from delivery.service import read_status

    found = read_status(settings.data_dir / STATUS_NAME)
    if found is None:
        raise CommandError(f"{settings.data_dir / STATUS_NAME}: no deliveries have run on this data folder")
    age = time.time() - found.at_ms / 1000
    if as_json:
        print_json(msgspec.to_builtins(found) | {"age_s": round(age, 1)})
        return
    table = Table("target", "state", "backlog", "delay s", "delivered", "skipped", "dead", "failed tries", "last error")
    for one in found.targets:
        table.add_row(
            one.target,
            one.state,
            str(one.backlog),
            f"{one.delay_s:.0f}",
            str(one.delivered),
            str(one.skipped),
            str(one.dead),
            str(one.failed),
            one.error,
        )
    out.print(table)
    if age > _OLD_S:
        err.print(f"told {age:.0f} s ago by process {found.pid}: it does not run any more, or hangs")


def _test(settings: "Settings", name: str) -> None:
    from delivery.example import invented_alert
    from delivery.forms import render
    from delivery.senders import SendError, open_sender

    if name not in settings.targets:
        raise CommandError(f"no target {name}; set are: {', '.join(sorted(settings.targets)) or 'none'}")
    target = settings.targets[name].target(name)
    alert = invented_alert()
    body = render(alert, target)
    assert body is not None, "every form has a word for an alert that is raised"
    with closing(open_sender(target)) as sender:
        try:
            sender.send(alert, body)
        except SendError as error:
            raise CommandError(f"target {name} did not take the invented alert: {error}") from None
    err.print(f"target {name} has taken an invented alert for {alert.plate}")
