"""`platefleet doctor`: a line per check out; exit code 1 when one fails."""

import click
import msgspec
from rich.text import Text

from fleet.terminal import out, print_json

_STYLE = {"ok": "green", "warn": "yellow", "fail": "bold red"}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line per check.")
@click.option("--settings", "show_settings", is_flag=True, help="Print every setting with its value instead.")
def doctor(as_json: bool, show_settings: bool) -> None:
    """Check Python, memory, disk, Java, Kafka, devices, models, store and ports, and say how to mend what is wrong."""
    from fleet.settings import PREFIX, load_settings

    settings = load_settings()
    if show_settings:
        values = {PREFIX + name.upper(): value for name, value in settings.model_dump(mode="json").items()}
        if as_json:
            print_json(values)
        else:
            for name, value in values.items():
                out.print(f"{name}={'' if value is None else value}", soft_wrap=True)
        return
    from fleet.doctor import examine

    failed = False
    for finding in examine(settings):
        failed = failed or finding.state == "fail"
        if as_json:
            print_json(msgspec.to_builtins(finding))
            continue
        mend = f" -> {finding.mend}" if finding.mend else ""
        mark = (f"{finding.state:4}", _STYLE[finding.state])
        out.print(Text.assemble(mark, f" {finding.check}: {finding.found}{mend}"), soft_wrap=True)
    if failed:
        raise SystemExit(1)
