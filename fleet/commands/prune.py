"""`platefleet prune`: a trained model in, a smaller one out."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from fleet.terminal import err

if TYPE_CHECKING:
    from vision.registry import Kind


@click.command()
@click.argument("kind", type=click.Choice(["detector", "reader"]))
@click.option("--model", default=None, help="Name or folder. Default: PLATEFLEET_DETECTOR or PLATEFLEET_READER.")
@click.option(
    "--share",
    type=click.FloatRange(min=0, max=1, max_open=True),
    default=0.25,
    show_default=True,
    help="Of the channels inside residual blocks.",
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="New folder of the smaller model.")
def prune(kind: "Kind", model: str | None, share: float, out: Path) -> None:
    """Take the least important channels out of a model.

    The smaller model runs wherever the whole one does; `platefleet train --config` with `start` and `inner` as its
    card has them lets it learn again what it lost.
    """
    from fleet.settings import load_settings
    from vision.registry import find_model
    from vision.training.pruning import prune as make

    settings = load_settings()
    whole = find_model(kind, model or (settings.detector if kind == "detector" else settings.reader))
    parameters = make(whole, kind, share, out)
    err.print(f"{parameters:,} parameters, in {out}")
