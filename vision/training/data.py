"""The pack of real photographs: in come two manifests (`scenes.jsonl`, `crops.jsonl`), out go typed rows by split.

The pack lies beside the checkout (`../shared/data`) and is read in place; it is never committed. Splits are by
vehicle and come from the manifest. `train` and `val` are open to all; `test` is handed out only inside `open_test`,
which appends one line to the committed `test_openings.jsonl`, so that over-use of the test set is visible.

Errors: `DataError` (a ValueError) for a missing pack, a broken manifest, an unknown split or source, or an attempt
to read `test` outside `open_test`.
"""

import json
import subprocess
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import cv2

Split = Literal["train", "val", "test"]
Licence = Literal["any", "stated", "permissive"]

REPOSITORY = Path(__file__).resolve().parents[2]
DEFAULT_ROOT = REPOSITORY.parent / "shared" / "data"
TEST_LOG = Path(__file__).with_name("test_openings.jsonl")

AS_STORED = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
"""How OpenCV is to read the pack's pictures: the annotation does not know of EXIF."""

LICENCES: dict[str, str] = {
    "alpr-unconstrained": "GPL-3.0",
    "chirag-anpr": "Apache-2.0",
    "cnn-ocr-lp-argentina": "GPL-3.0",
    "egypt-motorcycles": "",  # its data file says CC BY 4.0, its read-me all rights reserved
    "nanonets": "",
    "nomeroff-examples": "GPL-3.0",
    "open-lpr": "Apache-2.0",
    "openalpr-benchmarks-br": "AGPL-3.0",
    "openalpr-benchmarks-eu": "AGPL-3.0",
    "openalpr-benchmarks-us": "AGPL-3.0",
    "openalpr-benchmarks-us-states": "AGPL-3.0",
    "openalpr-train-detector-br": "AGPL-3.0",
    "openalpr-train-detector-eu": "AGPL-3.0",
    "openalpr-train-detector-neg": "AGPL-3.0",
    "reported-nyc": "",
    "robertlucian": "MIT",
    "roboflow-openimages-techkhid": "",  # the read-me of its data says CC BY 4.0
}
"""Source -> SPDX name of the licence file in its repository; empty where there is none."""

STRETCHED = frozenset({"roboflow-openimages-techkhid"})
"""Sources whose pictures do not have their own proportions: squeezed to squares, nearly all from landscape."""

_PERMISSIVE = frozenset({"MIT", "Apache-2.0", "BSD-3-Clause", "CC-BY-4.0"})


class DataError(ValueError):
    """The pack of photographs cannot be used as asked; the message says what and where."""


@dataclass(frozen=True, slots=True)
class PlateLabel:
    """One annotated plate of a scene."""

    box: tuple[float, float, float, float] | None
    """x, y, width, height in pixels of the stored file."""
    corners: tuple[tuple[float, float], ...] | None
    """Four (x, y), clockwise from the plate's own top left."""
    text: str | None
    """A-Z and 0-9; None when unknown or not legible."""
    unsure: bool = False
    """Hardly to be seen: neither to be found nor to be counted as wrong when found (simulated frames only)."""


@dataclass(frozen=True, slots=True)
class Scene:
    """One whole picture. `plates` is None when the picture is unlabelled, empty when it is known to hold none."""

    image: Path
    source: str
    width: int
    height: int
    plates: tuple[PlateLabel, ...] | None
    country: str | None
    split: Split
    scale: float = 1.0
    """The picture's size relative to that of its source: less than 1 in a pack that `vision.training.packing` made."""


@dataclass(frozen=True, slots=True)
class Crop:
    """One picture of a single plate. `checked` is False where the text is a file name that nobody compared."""

    image: Path
    source: str
    text: str
    country: str | None
    split: Split
    checked: bool


@dataclass(slots=True)
class TestOpening:
    """Permission to read `test`, valid inside `open_test`; put the metrics into `result`."""

    __test__ = False  # not a test class, whatever pytest thinks of its name
    purpose: str
    result: dict[str, Any] = field(default_factory=dict)
    open: bool = True


def licensed_sources(licence: Licence = "any") -> frozenset[str]:
    """The sources that `licence` allows: `any`, `stated` (has a licence file), `permissive` (MIT and kin)."""
    if licence not in get_args(Licence):
        raise DataError(f"unknown licence filter {licence!r}; choose one of {', '.join(get_args(Licence))}")
    if licence == "any":
        return frozenset(LICENCES)
    if licence == "stated":
        return frozenset(name for name, spdx in LICENCES.items() if spdx)
    return frozenset(name for name, spdx in LICENCES.items() if spdx in _PERMISSIVE)


def load_scenes(
    split: Split,
    *,
    root: Path | None = None,
    licence: Licence = "any",
    sources: Collection[str] | None = None,
    opening: TestOpening | None = None,
) -> list[Scene]:
    """The scenes of one split, in manifest order; `test` needs the `opening` that `open_test` gives."""
    folder = _checked(root, split, sources, opening)
    allowed = licensed_sources(licence)
    rows = []
    for number, row in manifest_rows(folder / "scenes.jsonl"):
        try:
            if row["split"] != split or row["source"] not in allowed or (sources and row["source"] not in sources):
                continue
            rows.append(
                Scene(
                    image=folder / row["image"],
                    source=row["source"],
                    width=int(row["width"]),
                    height=int(row["height"]),
                    plates=None if row["plates"] is None else tuple(_plate(plate) for plate in row["plates"]),
                    country=row["country"],
                    split=split,
                    scale=float(row.get("scale", 1.0)),
                )
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{folder / 'scenes.jsonl'} line {number}: {error!r}") from error
    return rows


def load_crops(
    split: Split,
    *,
    root: Path | None = None,
    licence: Licence = "any",
    sources: Collection[str] | None = None,
    opening: TestOpening | None = None,
) -> list[Crop]:
    """The single-plate crops of one split, in manifest order; `test` needs the `opening` that `open_test` gives."""
    folder = _checked(root, split, sources, opening)
    allowed = licensed_sources(licence)
    rows = []
    for number, row in manifest_rows(folder / "crops.jsonl"):
        try:
            if row["split"] != split or row["source"] not in allowed or (sources and row["source"] not in sources):
                continue
            rows.append(
                Crop(
                    image=folder / row["image"],
                    source=row["source"],
                    text=row["text"],
                    country=row["country"],
                    split=split,
                    checked=row["label"] == "checked",
                )
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{folder / 'crops.jsonl'} line {number}: {error!r}") from error
    return rows


@contextmanager
def open_test(purpose: str, *, log: Path = TEST_LOG) -> Iterator[TestOpening]:
    """Hand out the right to read `test`; a line with date, commit and purpose is kept, with the result on leaving.

    The line is there from the beginning: a process that is killed has opened `test`, too.
    """
    opening = TestOpening(purpose)
    begun = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    line = {"date": begun, "commit": git_commit(), "purpose": purpose, "result": opening.result}
    before = log.read_text(encoding="utf-8") if log.exists() else ""
    log.write_text(before + json.dumps(line) + "\n", encoding="utf-8")
    try:
        yield opening
    except BaseException as error:
        opening.result["error"] = repr(error)
        raise
    finally:
        opening.open = False
        log.write_text(before + json.dumps(line) + "\n", encoding="utf-8")


def git_commit() -> str:
    """The short commit that the checkout stands at, `-dirty` when it was changed, empty outside a git checkout."""
    command = ["git", "-C", str(REPOSITORY), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def scaled_box(box: Sequence[float], scale: float) -> tuple[float, float, float, float]:
    """A box x, y, width, height in the pixels of a picture that is `scale` times as large; unchanged at 1."""
    x, y, width, height = (side if scale == 1 else side * scale for side in box)
    return x, y, width, height


def _checked(root: Path | None, split: str, sources: Collection[str] | None, opening: TestOpening | None) -> Path:
    if split not in get_args(Split):
        raise DataError(f"unknown split {split!r}; choose one of {', '.join(get_args(Split))}")
    if split == "test" and not (opening is not None and opening.open):
        raise DataError("the test split is read only by `platefleet evaluate`, inside vision.training.data.open_test")
    unknown = sorted(set(sources or ()) - set(LICENCES))
    if unknown:
        raise DataError(f"unknown source {unknown[0]!r}; known: {', '.join(sorted(LICENCES))}")
    folder = root or DEFAULT_ROOT
    if not (folder / "scenes.jsonl").is_file():
        raise DataError(f"no photographs at {folder}: put the data pack there (scenes.jsonl, crops.jsonl) or name it")
    return folder


def manifest_rows(manifest: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Number and content of every line, of all splits. Raises `DataError` for a line that is not JSON."""
    with manifest.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            try:
                yield number, json.loads(line)
            except json.JSONDecodeError as error:
                raise DataError(f"{manifest} line {number} is not JSON: {error}") from error


def _plate(row: dict[str, Any]) -> PlateLabel:
    box, corners = row["box"], row["corners"]
    return PlateLabel(
        box=None if box is None else (float(box[0]), float(box[1]), float(box[2]), float(box[3])),
        corners=None if corners is None else tuple((float(x), float(y)) for x, y in corners),
        text=row["text"],
    )
