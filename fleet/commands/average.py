"""`platefleet average`: two trained readers in, the one between them out."""

from pathlib import Path

import click

from fleet.terminal import err


@click.command()
@click.argument("first")
@click.argument("second")
@click.option(
    "--share",
    type=click.FloatRange(min=0, max=1),
    default=0.5,
    show_default=True,
    help="Of the second in the result.",
)
@click.option("--data", type=click.Path(path_type=Path), default=None, help="The pack of photographs.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="New folder of the reader.")
def average(first: str, second: str, share: float, data: Path | None, out: Path) -> None:
    """Average the weights of two readers, one of which was trained on from the other.

    FIRST and SECOND are names or folders. The result's confidence is calibrated, and its figures taken, on val.
    """
    from vision.registry import find_model
    from vision.training.averaging import average as make
    from vision.training.evaluate_reader import load_val

    temperature = make(find_model("reader", first), find_model("reader", second), share, out, load_val(data, "any"))
    err.print(f"the reader is in {out}, its temperature {temperature}")
