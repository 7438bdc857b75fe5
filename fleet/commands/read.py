"""`platefleet read`: pictures and videos in, plates out; no Kafka."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fleet.terminal import err, out, print_json

if TYPE_CHECKING:
    from fleet.pictures import Picture
    from vision.types import PlateResult


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PATH...")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line per picture.")
@click.option("--every", type=click.IntRange(min=1), default=1, show_default=True, help="Of a video, each Nth picture.")
def read(paths: tuple[Path, ...], as_json: bool, every: int) -> None:
    """Read the plates of pictures, videos, and folders of them.

    What cannot be read is told on standard error (with --json also as an object with "error"); the rest goes on,
    and the exit code is 1 at the end.
    """
    from fleet.pictures import expand, pictures
    from fleet.rooms import load_pipeline
    from fleet.settings import load_settings

    settings = load_settings()
    files = expand(paths)
    # torch takes seconds: what is wrong with the paths is told before
    pipeline = load_pipeline(settings)
    failed = False
    for path in files:
        for picture, results, milliseconds in _timed(pictures(path, every), pipeline):
            failed = failed or bool(picture.error)
            if picture.error:
                err.print(f"platefleet: {picture.error}", soft_wrap=True)
            if as_json:
                print_json(as_object(picture, results, milliseconds))
            elif not picture.error:
                _print(picture, results)
    if failed:
        raise SystemExit(1)


def _timed(found: "Iterator[Picture]", pipeline: Any) -> "Iterator[tuple[Picture, Sequence[PlateResult], float]]":
    begin = time.perf_counter()
    for picture in found:
        results = pipeline.read([picture.image])[0] if picture.image is not None else []
        yield picture, results, (time.perf_counter() - begin) * 1000
        begin = time.perf_counter()


def as_object(picture: "Picture", results: "Sequence[PlateResult]", milliseconds: float) -> dict[str, Any]:
    """One picture as the JSON object that `--json` prints; pixels are of the original picture."""
    fields: dict[str, Any] = {"image": str(picture.path)}
    if picture.frame is not None:
        fields |= {"frame": picture.frame, "time_s": picture.time_s}
    if picture.image is None:
        return fields | {"error": picture.error}
    height, width = picture.image.shape[:2]
    return fields | {
        "width": width,
        "height": height,
        "processing_time_ms": round(milliseconds, 1),
        "results": [_plate(result) for result in results if result.text.plate],
        "unread": [_plate(result) for result in results if not result.text.plate],
    }


def _plate(result: "PlateResult") -> dict[str, Any]:
    text = result.text
    return {
        "plate": text.plate,
        "confidence": round(text.confidence, 4),
        "corners": [[round(float(x), 1), round(float(y), 1)] for x, y in result.detection.corners],
        "box": [round(float(value), 1) for value in result.detection.box],
        "region": text.region,
        "candidates": [{"plate": plate, "confidence": round(share, 4)} for plate, share in text.candidates],
    }


def _print(picture: "Picture", results: "Sequence[PlateResult]") -> None:
    where = str(picture.path) if picture.frame is None else f"{picture.path} picture {picture.frame}"
    plates = [result.text for result in results if result.text.plate]
    told = [f"{text.plate} {text.region or '?'} {text.confidence:.0%}" for text in plates]
    if unread := len(results) - len(plates):
        told.append(f"{unread} not readable")
    out.print(f"{where}: {', '.join(told) or 'no plate'}", soft_wrap=True)
