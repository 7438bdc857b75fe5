"""`platefleet train`: photographs and invented plates in, weights with a model card out."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fleet.terminal import err

if TYPE_CHECKING:
    from fleet.settings import Settings
    from vision.training.data import Licence

RUNS = click.option(
    "--runs", type=click.Path(path_type=Path), default=None, help="The list of runs. Default: the one of this machine."
)
_OPTIONS = (
    click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the run and its model."),
    click.option("--minutes", type=click.FloatRange(min=0, min_open=True), default=75.0, show_default=True),
    click.option(
        "--steps", type=click.IntRange(min=1), default=None, help="End after so many steps, where that comes first."
    ),
    click.option("--seed", type=click.IntRange(min=0), default=7, show_default=True),
    click.option(
        "--threads", type=click.IntRange(min=1), default=None, help="Default: the --config's, else PLATEFLEET_THREADS."
    ),
    click.option(
        "--workers",
        type=click.IntRange(min=0),
        default=None,
        help="Processes that draw. Default: the --config's, else 1.",
    ),
    click.option("--resume", is_flag=True, help="Go on from the run's last checkpoint."),
    click.option("--data", type=click.Path(path_type=Path), default=None, help="The pack of photographs."),
    click.option(
        "--licence",
        type=click.Choice(["any", "stated", "permissive"]),
        default=None,
        help="Photographs of which sources: all, of those that state a licence, of permissive ones. "
        "Default: the --config's, else any.",
    ),
    RUNS,
)


def _with_options(command: click.decorators.FC) -> click.decorators.FC:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def runs_file(settings: "Settings", given: Path | None) -> Path:
    """The list that trainings are added to: one for this machine, whatever the working folder."""
    return given or settings.cache_dir / "runs.jsonl"


def told(**settings: Any) -> dict[str, Any]:
    """What was said on the command line, to go over a file's settings."""
    return {name: value for name, value in settings.items() if value is not None}


@click.group()
def train() -> None:
    """Train a model; its folder can be given as PLATEFLEET_DETECTOR or PLATEFLEET_READER."""


@train.command()
@_with_options
@click.option(
    "--drive", "drives", multiple=True, type=click.Path(path_type=Path), help="Simulated drives as scenes too."
)
@click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path),
    help="Settings of a whole run (TOML); --minutes and --seed are left out then.",
)
def detector(
    out: Path,
    minutes: float,
    steps: int | None,
    seed: int,
    threads: int | None,
    workers: int | None,
    resume: bool,
    data: Path | None,
    licence: "Licence | None",
    runs: Path | None,
    drives: tuple[Path, ...],
    file: Path | None,
) -> None:
    """Train the plate detector."""
    from fleet.rooms import cores
    from fleet.settings import load_settings
    from plumbing.logs import setup_logs
    from vision.training.detector_config import DetectorTrainConfig, read_config
    from vision.training.train_detector import train as run

    settings = load_settings()
    setup_logs("train", level=settings.log_level, as_json=settings.log_json)
    config = read_config(file, out) if file else DetectorTrainConfig(out=out, minutes=minutes, seed=seed)
    threads = threads or (None if file else cores(settings))
    said = told(threads=threads, workers=workers, licence=licence, steps=steps)
    config = replace(config, resume=resume, device=settings.device, data=data, drives=drives, **said)
    err.print(f"the detector is in {run(config, runs=runs_file(settings, runs)).folder}")


@train.command()
@_with_options
@click.option("--no-photographs", is_flag=True, help="Invented plates alone.")
@click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path),
    help="Settings of a whole run (TOML); --minutes and --seed are left out then.",
)
def reader(
    out: Path,
    minutes: float,
    steps: int | None,
    seed: int,
    threads: int | None,
    workers: int | None,
    resume: bool,
    data: Path | None,
    licence: "Licence | None",
    runs: Path | None,
    no_photographs: bool,
    file: Path | None,
) -> None:
    """Train the plate reader."""
    from fleet.rooms import cores
    from fleet.settings import load_settings
    from plumbing.logs import setup_logs
    from vision.training.reader_config import ReaderTrainConfig, read_config
    from vision.training.train_reader import train as run

    settings = load_settings()
    setup_logs("train", level=settings.log_level, as_json=settings.log_json)
    config = read_config(file, out) if file else ReaderTrainConfig(out=out, minutes=minutes, seed=seed)
    threads = threads or (None if file else cores(settings))
    said = told(threads=threads, workers=workers, licence=licence, steps=steps)
    config = replace(config, resume=resume, device=settings.device, data=data, **said)
    config = replace(config, real=config.real and not no_photographs)
    # unlike the detector's, its samples are always drawn beside the training
    config = replace(config, workers=max(1, config.workers))
    err.print(f"the reader is in {run(config, runs=runs_file(settings, runs)).folder}")
