"""One page to look at: the tables, a picture of every failure, and of every result at no annotated plate.

In: an `Evaluation`. Out: HTML that needs no other file. The page shows real plates of real people: it is written where
the caller says and never committed.
"""

import base64
import html
from pathlib import Path

import cv2

from vision.training.data import AS_STORED
from vision.training.evaluate import Evaluation, ExtraResult
from vision.training.evaluate_detector import Box
from vision.training.judging import Judged
from vision.types import Image

_WIDTH = 320
_STYLE = (
    "body{font:14px sans-serif;margin:2em;max-width:80em}pre{background:#f4f4f4;padding:1em;overflow:auto}"
    "figure{display:inline-block;margin:6px;width:330px;vertical-align:top}img{max-width:320px;max-height:240px}"
    "figcaption{font:12px monospace}"
)


def write_page(result: Evaluation, target: Path) -> None:
    """Write the page.

    Args:
        result: of `evaluate`.
        target: the HTML file; its folder is made when it is missing.

    Raises:
        OSError: the disk refuses.
    """
    title = f"{html.escape(result.model)} on {result.split}"
    parts = [
        f"<!doctype html><meta charset=utf-8><title>{title}</title><style>{_STYLE}</style>",
        f"<h1>{title}</h1><pre>{html.escape(chr(10).join(result.lines()))}</pre>",
        f"<h2>Misread on the annotated box ({len(result.failures)})</h2>",
        *(_figure(one, one.box) for one in result.failures),
        f"<h2>Not right end to end ({len(result.missed)})</h2>",
        *(_figure(one) for one in result.missed),
        f"<h2>Read where no plate is annotated ({len(result.extras)})</h2>",
        *(_extra_figure(one) for one in result.extras),
    ]
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text("\n".join(parts), encoding="utf-8")


def _figure(one: Judged, place: Box | None = None) -> str:
    said = one.text or ("nothing read" if one.found else "not found")
    about = f"{one.source}: {one.truth} read as {said}, {100 * one.confidence:.0f} %; {', '.join(sorted(one.slices))}"
    return _shown(about, _picture(one.image, place, around=0.2))


def _extra_figure(one: ExtraResult) -> str:
    seen = "a plate there" if one.plate_seen else "no plate that anybody has seen"
    box = [round(side) for side in one.box]
    about = f"{one.source} {one.image.name} {box}: {one.text}, {100 * one.confidence:.0f} %; {seen}"
    return _shown(about, _picture(one.image, one.box, around=1.0))


def _picture(path: Path, place: Box | None, around: float) -> Image | None:
    """The picture, or of it the box `place`, drawn in, with `around` times its width on every side."""
    picture = cv2.imread(str(path), AS_STORED)
    if picture is None or place is None:
        return picture  # type: ignore[return-value]
    x, y, width, height = (round(side) for side in place)
    cv2.rectangle(picture, (x, y), (x + width, y + height), (0, 255, 0), 1)
    rim = round(around * width)
    return picture[max(0, y - rim) : y + height + rim, max(0, x - rim) : x + width + rim]  # type: ignore[return-value]


def _shown(about: str, picture: Image | None) -> str:
    if picture is None:
        return f"<figure><figcaption>{html.escape(about)} (no picture)</figcaption></figure>"
    scale = min(1.0, _WIDTH / picture.shape[1])
    small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    data = base64.b64encode(cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()).decode()
    image = f'<img src="data:image/jpeg;base64,{data}" alt="">'
    return f"<figure>{image}<figcaption>{html.escape(about)}</figcaption></figure>"
