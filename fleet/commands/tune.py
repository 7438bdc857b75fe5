"""`platefleet tune`: a training's settings in, better ones out, found by short runs that are judged on val."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fleet.commands.train import RUNS, runs_file, told
from fleet.terminal import err

if TYPE_CHECKING:
    from vision.registry import Kind
    from vision.training.data import Licence


@click.command()
@click.argument("kind", type=click.Choice(["reader", "detector"]))
@click.option("--config", "file", type=click.Path(path_type=Path), required=True, help="Settings to begin with (TOML).")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the study and its trials.")
@click.option(
    "--trials", type=click.IntRange(min=1), default=20, show_default=True, help="How many the study shall have."
)
@click.option(
    "--minutes", type=click.FloatRange(min=0, min_open=True), default=10.0, show_default=True, help="Of each."
)
@click.option("--threads", type=click.IntRange(min=1), default=None, help="Default: the --config's.")
@click.option(
    "--workers", type=click.IntRange(min=1), default=None, help="Processes that draw. Default: the --config's."
)
@click.option("--data", type=click.Path(path_type=Path), default=None, help="The pack of photographs.")
@click.option(
    "--licence", type=click.Choice(["any", "stated", "permissive"]), default=None, help="Default: the --config's."
)
@RUNS
def tune(
    kind: "Kind",
    file: Path,
    out: Path,
    trials: int,
    minutes: float,
    threads: int | None,
    workers: int | None,
    data: Path | None,
    licence: "Licence | None",
    runs: Path | None,
) -> None:
    """Search for better settings of a training, and print them as TOML that `platefleet train --config` takes.

    What is turned, and how far, stands in vision/training/search_space.py. Called again, the study in --out goes on.
    """
    from fleet.settings import load_settings
    from plumbing.logs import setup_logs
    from vision.training import detector_config, reader_config, train_detector, train_reader
    from vision.training.config_file import as_toml
    from vision.training.tune import tune as search

    settings = load_settings()
    setup_logs("tune", level=settings.log_level, as_json=settings.log_json)
    module: Any = reader_config if kind == "reader" else detector_config
    train: Any = train_reader.train if kind == "reader" else train_detector.train
    own = module.read_config(file, out)
    said = told(threads=threads, workers=workers, licence=licence)
    base = replace(own, device=settings.device, data=data, **said)
    listed = runs_file(settings, runs)
    found = search(kind, base, lambda config: train(config, runs=listed), trials=trials, minutes=minutes)
    err.print(f"the best of {found.trials} trials reached {found.figure:.4f} on val")
    click.echo(as_toml(replace(own, **found.settings), type(own)(out), module.PLACES), nl=False)
