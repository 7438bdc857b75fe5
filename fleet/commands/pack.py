"""`platefleet pack`: the pack of photographs in, a smaller copy of it out."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from fleet.terminal import err

if TYPE_CHECKING:
    from vision.training.data import Split


@click.command()
@click.option("--out", type=click.Path(path_type=Path), required=True, help="New folder of the smaller pack.")
@click.option("--limit-mib", type=click.FloatRange(min=0, min_open=True), default=64.0, show_default=True)
@click.option(
    "--split", "splits", multiple=True, type=click.Choice(["train", "val"]), default=("train", "val"), show_default=True
)
@click.option("--data", type=click.Path(path_type=Path), default=None, help="The pack of photographs.")
def pack(out: Path, limit_mib: float, splits: "tuple[Split, ...]", data: Path | None) -> None:
    """Make a smaller copy of the pack of photographs, for a machine that takes no more.

    Pictures are shrunk and compressed until all fit, annotations shrink with them. `train` and `evaluate` take the
    folder as --data. The split test stays where it is.
    """
    from vision.training.packing import pack as make

    made = make(out, limit=int(limit_mib * 2**20), root=data, splits=splits, show=lambda line: err.print(line))
    err.print(f"{made.pictures} pictures, {made.size / 2**20:.1f} MiB, in {out}")
