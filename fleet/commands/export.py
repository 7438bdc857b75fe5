"""`platefleet export`: the models' folders in, ONNX files and their accuracy cost in the cards out."""

from pathlib import Path

import click

from fleet.terminal import err


@click.command()
@click.option("--detector", default=None, help="Name or folder. Default: PLATEFLEET_DETECTOR.")
@click.option("--reader", default=None, help="Name or folder. Default: PLATEFLEET_READER.")
@click.option("--data", type=click.Path(path_type=Path), default=None, help="The pack of photographs.")
@click.option("--measure/--no-measure", default=True, show_default=True, help="Say what each file loses on val.")
def export(detector: str | None, reader: str | None, data: Path | None, measure: bool) -> None:
    """Write the detector and the reader as ONNX files, float32 and 8 bits, into their folders."""
    import cv2
    import torch

    from fleet.errors import CommandError
    from fleet.rooms import cores
    from fleet.settings import load_settings
    from vision.registry import find_model

    settings = load_settings()
    finding = find_model("detector", detector or settings.detector)
    reading = find_model("reader", reader or settings.reader)
    try:
        from vision.training.variants import export as write
    except ModuleNotFoundError as error:
        raise CommandError(f"exporting needs the package {error.name}: pip install -e '.[train,export]'") from None
    torch.set_num_threads(cores(settings))
    cv2.setNumThreads(1)
    write(finding, reading, root=data, measure=measure, tell=lambda line: err.print(line, soft_wrap=True))
