"""`platefleet runs`: the list of trainings in, a table of them out."""

from pathlib import Path
from typing import Any

import click

from fleet.commands.train import RUNS, runs_file
from fleet.terminal import out, print_json


@click.command()
@RUNS
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per run, with all that is known of it.")
def runs(runs: Path | None, as_json: bool) -> None:
    """List the trainings that ended on this machine, the newest last.

    Each record holds what it takes to tell or to repeat the run: commit, sums of the data's manifests, settings, start,
    figures on val, kind of machine, sum of the weights.
    """
    from rich.table import Table

    from fleet.settings import load_settings
    from vision.training.runs import read_runs

    file = runs_file(load_settings(), runs)
    found = read_runs(file)
    if as_json:
        for run in found:
            print_json(run)
        return
    if not found:
        click.echo(f"no training has ended yet: {file} is empty or not there", err=True)
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("at", "model", "ended", "min", "val"):
        table.add_column(name, no_wrap=True)
    table.add_column("folder", overflow="fold", min_width=16)
    for run in found:
        table.add_row(*_cells(run))
    out.print(table)


def _cells(run: dict[str, Any]) -> list[str]:
    return [
        run["ended_at"][:16].replace("T", " "),
        run["kind"],
        run["ended"],
        f"{run['minutes']:.0f}",
        _figure(run["metrics"]),
        run["out"],
    ]


def _figure(metrics: dict[str, Any]) -> str:
    """What the run's kind is judged by."""
    if "exact" in metrics:
        return f"{100 * metrics['exact']:.1f} %"
    if "greedy_exact" in metrics:
        return f"{100 * metrics['greedy_exact']:.1f} % greedy"
    return f"AP {metrics['average_precision']:.3f}" if "average_precision" in metrics else ""
