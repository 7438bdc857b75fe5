"""`platefleet evaluate`: the models and real photographs or simulated drives in, tables of accuracy out."""

from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from fleet.terminal import print_json

if TYPE_CHECKING:
    from vision.pipeline import PlatePipeline


@click.command()
@click.option("--split", type=click.Choice(["val", "test"]), default="val", show_default=True)
@click.option("--purpose", default="", help="Why test is opened; it is logged.")
@click.option("--data", type=click.Path(path_type=Path), default=None, help="The pack of photographs.")
@click.option("--baseline", is_flag=True, help="A classical reader and the most frequent text beside the model.")
@click.option("--page", type=click.Path(path_type=Path), help="Write a page with a picture of every failure.")
@click.option(
    "--drive",
    "drives",
    multiple=True,
    type=click.Path(path_type=Path, exists=True),
    help="Simulated drives, per frame and per pass, in place of the photographs.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def evaluate(
    split: str,
    purpose: str,
    data: Path | None,
    baseline: bool,
    page: Path | None,
    drives: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Measure the installed models on real photographs that they never saw, or on simulated drives."""
    from fleet.rooms import load_pipeline
    from fleet.settings import load_settings
    from vision.training.evaluate import evaluate as measure
    from vision.training.report_page import write_page

    if split == "test" and not purpose:
        raise click.UsageError("say why the test split is opened: --purpose TEXT")
    settings = load_settings()
    pipeline = load_pipeline(settings)
    if drives:
        _evaluate_drives(drives, pipeline, as_json)
        return
    result = measure(
        "test" if split == "test" else "val",
        pipeline=pipeline,
        root=data,
        baseline=baseline,
        purpose=purpose or "evaluate",
        show=None if as_json else click.echo,
    )
    if page:
        write_page(result, page)
        click.echo(f"page with {len(result.failures) + len(result.missed)} failures: {page}", err=True)
    if as_json:
        print_json(msgspec.to_builtins(result, enc_hook=str))


def _evaluate_drives(drives: tuple[Path, ...], pipeline: "PlatePipeline", as_json: bool) -> None:
    from fleet.drive_score import DriveScore, score_drive

    total = DriveScore()
    for folder in drives:
        score_drive(folder, pipeline, total)
    if as_json:
        print_json(msgspec.to_builtins(total))
        return
    for line in total.lines():
        click.echo(line)
