"""One page to look at: the tables, a picture of every failure, and of every result at no annotated plate.

In: an `Evaluation`. Out: HTML that needs no other file. The page shows real plates of real people: it is written where
the caller says and never committed.
"""

import base64
import html
from collections.abc import Iterable, Mapping
from pathlib import Path

import cv2

from vision.training.data import AS_STORED
from vision.training.evaluate import Evaluation, ExtraResult
from vision.training.judging import Judged
from vision.types import Image

_WIDTH = 320
_STYLE = (
    "body{font:14px sans-serif;margin:2em;max-width:80em}pre{background:#f4f4f4;padding:1em;overflow:auto}"
    "figure{display:inline-block;margin:6px;width:330px;vertical-align:top}img{max-width:320px;max-height:240px}"
    "figcaption{font:12px monospace}"
)


def write_page(result: Evaluation, folders: Iterable[Path], target: Path) -> None:
    """Write the page.

    Args:
        result: of `evaluate`.
        folders: where the pictures lie.
        target: the HTML file; its folder is made when it is missing.

    Raises:
        OSError: the disk refuses.
    """
    where = {path.name: path for folder in folders for path in folder.rglob("*") if path.is_file()}
    title = f"{html.escape(result.model)} on {result.split}"
    parts = [
        f"<!doctype html><meta charset=utf-8><title>{title}</title><style>{_STYLE}</style>",
        f"<h1>{title}</h1><pre>{html.escape(chr(10).join(result.lines()))}</pre>",
        f"<h2>Misread on the annotated box ({len(result.failures)})</h2>",
        *(_figure(one, where) for one in result.failures),
        f"<h2>Not right end to end ({len(result.missed)})</h2>",
        *(_figure(one, where) for one in result.missed),
        f"<h2>Read where no plate is annotated ({len(result.extras)})</h2>",
        *(_extra_figure(one, where) for one in result.extras),
    ]
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text("\n".join(parts), encoding="utf-8")


def _figure(one: Judged, where: Mapping[str, Path]) -> str:
    said = one.text or ("nothing read" if one.found else "not found")
    about = f"{one.source}: {one.truth} read as {said}, {100 * one.confidence:.0f} %; {', '.join(sorted(one.slices))}"
    return _shown(about, _picture(one.image, where))


def _extra_figure(one: ExtraResult, where: Mapping[str, Path]) -> str:
    """The result's place in the picture, with as much around it again as it is wide."""
    seen = "a plate there" if one.plate_seen else "no plate that anybody has seen"
    x, y, width, height = (round(side) for side in one.box)
    about = f"{one.source} {one.image} [{x}, {y}, {width}, {height}]: {one.text}, {100 * one.confidence:.0f} %; {seen}"
    picture = _picture(one.image, where)
    if picture is not None:
        cv2.rectangle(picture, (x, y), (x + width, y + height), (0, 255, 0), 1)
        picture = picture[max(0, y - width) : y + height + width, max(0, x - width) : x + 2 * width]
    return _shown(about, picture)


def _picture(name: str, where: Mapping[str, Path]) -> Image | None:
    path = where.get(name)
    return None if path is None else cv2.imread(str(path), AS_STORED)  # type: ignore[return-value]


def _shown(about: str, picture: Image | None) -> str:
    if picture is None:
        return f"<figure><figcaption>{html.escape(about)} (no picture)</figcaption></figure>"
    scale = min(1.0, _WIDTH / picture.shape[1])
    small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    data = base64.b64encode(cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()).decode()
    image = f'<img src="data:image/jpeg;base64,{data}" alt="">'
    return f"<figure>{image}<figcaption>{html.escape(about)}</figcaption></figure>"
