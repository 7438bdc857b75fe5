"""The evaluation's sums, on a small invented pack with a detector and a reader that fail in known ways."""

import base64
import io
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL.Image
import pytest
import torch

from vision.alphabet import SYMBOLS
from vision.device import Placement
from vision.pipeline import PlatePipeline
from vision.plates import plate_with_text, render_plate
from vision.reader import CROP_SIZE, ReaderOutput, RowReader
from vision.training.data import DataError, load_scenes
from vision.training.evaluate import evaluate
from vision.training.evaluate_detector import read_picture
from vision.training.reader_data import load_real_plates
from vision.training.report_page import write_page
from vision.training.variants import _Trial
from vision.types import Detection, Image, PlateText

TRUTHS = ("B01XYZ", "CJ10ABC", "IF99QQQ")


class _FixedDetector:
    """Finds the plate of every picture but the last, and a plate that is not there in the first."""

    def __init__(self) -> None:
        self.calls = 0

    def detect(self, images: Sequence[Image]) -> list[list[Detection]]:
        plate = np.array([[100, 80], [300, 80], [300, 123], [100, 123]], np.float32)
        found = [[Detection(plate, 0.9)] for _ in images]
        found[0].append(Detection(plate - 60, 0.4))
        found[-1] = []
        return found


class _FixedReader:
    """Says the first truth for every crop of the first picture's kind, and one wrong letter otherwise."""

    crop_size = (48, 144)

    def read(self, crops: Sequence[Image], again: Sequence[bool] | None = None) -> list[PlateText]:
        texts = {0: "BO1XYZ", 1: "CJ10ABC"}
        marks = [int(crop[44:, :].mean() > 128) for crop in crops]
        return [PlateText(texts[mark], 0.8, (), ((texts[mark], 0.8),)) for mark in marks]


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    rows = []
    for k, truth in enumerate(TRUTHS):
        picture = np.full((240, 400, 3), 250 if k == 1 else 20, np.uint8)
        picture[80:123, 100:300] = cv2.resize(render_plate(plate_with_text(truth, "RO")), (200, 43))
        cv2.imwrite(str(tmp_path / f"{k}.png"), picture)
        plates = [{"box": [100, 80, 200, 43], "corners": None, "text": truth}]
        rows += [
            {
                "image": f"{k}.png",
                "source": "robertlucian",
                "width": 400,
                "height": 240,
                "plates": plates,
                "country": "RO",
            }
            | {"split": split}
            for split in ("val", "test")
        ]
    (tmp_path / "scenes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "crops.jsonl").write_text("")
    return tmp_path


def _pipeline() -> PlatePipeline:
    return PlatePipeline(_FixedDetector(), _FixedReader(), "fixed")


def test_the_sums_are_right(pack: Path) -> None:
    lines: list[str] = []
    result = evaluate("val", pipeline=_pipeline(), root=pack, show=lines.append)
    row = result.reader["robertlucian"]
    # the middle picture is read right, the first but for an O that is a zero, the last is all wrong
    assert (row["plates"], row["strict"], row["folded"]) == (3, 33.3, 66.7)
    assert [failure.truth for failure in result.failures] == ["B01XYZ", "IF99QQQ"]
    assert [(one.truth, one.found) for one in result.missed] == [("B01XYZ", True), ("IF99QQQ", False)]
    whole = result.end_to_end["all"]
    assert (whole["strict"], whole["folded"], whole["found"]) == (33.3, 66.7, 66.7)
    assert (whole["extra_per_100"], whole["wrong_per_100"]) == (33.3, 33.3)
    (extra,) = result.extras
    assert (extra.image.name, extra.text, extra.box, extra.plate_seen) == ("0.png", "BO1XYZ", (40, 20, 200, 43), False)
    # the detector finds the plates of two pictures, and one that is not there in the first
    found = {"images": 3, "plates": 3, "recall": 66.7, "precision": 66.7, "false_per_100": 33.3, "mean_iou": 1.0}
    assert result.detector["all"] == result.detector_mended["all"] == found
    assert result.slices["as H.264, rate factor 38"]["plates"] == 3
    assert set(result.milliseconds) == {"detect", "rectify", "read"}
    assert any("robertlucian" in line for line in lines)
    assert result.slices["country RO"]["plates"] == 3
    assert result.slices["not found"]["plates"] == 1
    assert result.slices["height 40 px and more"]["strict"] == 50.0


def test_a_plate_that_nobody_annotated_is_no_wrong_result(pack: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slips = pack / "slips.json"
    name = "/".join((pack / "0.png").parts[-3:])
    slips.write_text(json.dumps({"unsure": {name: [[42, 18, 190, 45]]}}))
    monkeypatch.setattr("vision.training.evaluate.VAL_SLIPS", slips)
    result = evaluate("val", pipeline=_pipeline(), root=pack, show=None)
    assert [extra.plate_seen for extra in result.extras] == [True]
    assert (result.detector["all"]["precision"], result.detector_mended["all"]["precision"]) == (66.7, 100.0)
    whole = result.end_to_end["all"]
    assert (whole["extra_per_100"], whole["wrong_per_100"]) == (33.3, 0.0)
    assert whole["found"] == 66.7


@pytest.fixture
def pack_with_crops(pack: Path) -> Path:
    """The same with two plates that came as crops, of which the reader says the first one's text."""
    cv2.imwrite(str(pack / "crop.png"), np.full((43, 200, 3), 250, np.uint8))
    crop = {"image": "crop.png", "source": "reported-nyc", "country": "US-NY", "split": "val", "label": "checked"}
    rows = [crop | {"text": text} for text in ("CJ10ABC", "KZY1758")]
    (pack / "crops.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return pack


def test_crops_are_judged_on_cars(pack_with_crops: Path) -> None:
    lines: list[str] = []
    row = evaluate("val", pipeline=_pipeline(), root=pack_with_crops, show=lines.append).mounted["reported-nyc"]
    # the detector finds a plate in all pictures of a batch but the last
    assert (row["plates"], row["strict"]) == (1, 100.0)
    assert any("crops put on cars" in line for line in lines)


def test_what_a_variant_loses_is_of_pictures_and_of_crops_on_cars(pack_with_crops: Path) -> None:
    scenes = load_scenes("val", root=pack_with_crops)
    crops = [plate for plate in load_real_plates("val", root=pack_with_crops) if plate.place is None]
    seen: Any = [(scene, read_picture(scene)) for scene in scenes]
    nothing: Any = None
    detector: Any = _FixedDetector()
    reader: Any = _FixedReader()
    trial = _Trial(detector, reader, seen, crops, scenes, 0.0, nothing)
    # alone no picture's plate is found, and of two crops together the first; one that is not found is not read right
    assert trial.strict() == pytest.approx(100 * 1 / 5)


def test_the_baselines_stand_beside_the_model(pack_with_crops: Path) -> None:
    rows = [json.loads(line) for line in (pack_with_crops / "crops.jsonl").read_text().splitlines()]
    train = [row | {"split": "train", "text": text} for row, text in zip(rows, ("KZY1758", "KZY1758"), strict=True)]
    (pack_with_crops / "crops.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows + train))
    lines: list[str] = []
    result = evaluate("val", pipeline=_pipeline(), root=pack_with_crops, baseline=True, show=lines.append)
    assert result.simple["all"]["plates"] == 5
    assert (result.majority, result.majority_right) == ("KZY1758", 20.0)
    assert any("KZY1758, is right in 20.0 %" in line for line in lines)


def test_ten_candidates_are_looked_at_where_the_reader_can_list_them(pack: Path) -> None:
    logits = np.full((9, 37), -8.0, np.float32)
    for place, sign in enumerate("B01XYZ"):
        logits[place + 1, SYMBOLS.index(sign) + 1] = 8.0
    logits[0, 0] = logits[7:, 0] = 8.0
    # the zero is read as an O or one of six others rather than as what it is
    for k, sign in enumerate("OQDCGU8"):
        logits[2, SYMBOLS.index(sign) + 1] = 9.0 - 0.1 * k

    def network(crops: torch.Tensor) -> ReaderOutput:
        count = len(crops)
        return ReaderOutput(torch.tensor(logits).expand(count, -1, -1), torch.zeros(count, 0), torch.ones(count))

    reader = RowReader(network, (), Placement(torch.device("cpu"), torch.float32))
    crop = np.zeros((*CROP_SIZE, 3), np.uint8)
    assert len(reader.read([crop], [False])[0].candidates) == 5
    result = evaluate("val", pipeline=PlatePipeline(_FixedDetector(), reader, "fixed"), root=pack, show=None)
    assert (result.reader["all"]["strict"], result.reader["all"]["top10"]) == (0.0, 33.3)
    assert result.end_to_end["all"]["top10"] == 33.3


def test_the_page_shows_every_failure(pack: Path, tmp_path: Path) -> None:
    result = evaluate("val", pipeline=_pipeline(), root=pack, show=None)
    write_page(result, tmp_path / "pages" / "val.html")
    page = (tmp_path / "pages" / "val.html").read_text()
    assert page.count("<figure>") == len(result.failures) + len(result.missed) + len(result.extras) == 5
    assert page.count("data:image/jpeg") == 5
    assert "0.png [40, 20, 200, 43]: BO1XYZ, 80 %; no plate that anybody has seen" in page
    assert "B01XYZ read as BO1XYZ, 80 %" in page
    assert "IF99QQQ read as not found" in page


def test_the_page_shows_the_picture_that_was_read_and_no_namesake(pack: Path, tmp_path: Path) -> None:
    for folder, level in (("a", 40), ("b", 200)):
        (pack / folder).mkdir()
        cv2.imwrite(str(pack / folder / "0.png"), np.full((240, 400, 3), level, np.uint8))
    rows = (pack / "scenes.jsonl").read_text().splitlines()
    (pack / "scenes.jsonl").write_text(rows[0].replace('"0.png"', '"a/0.png"') + "\n")
    result = evaluate("val", pipeline=_pipeline(), root=pack, show=None)
    write_page(result, tmp_path / "val.html")
    pictures = re.findall(r"base64,([^\"]+)", (tmp_path / "val.html").read_text())
    levels = [np.median(np.asarray(PIL.Image.open(io.BytesIO(base64.b64decode(one))))) for one in pictures]
    assert levels
    assert all(abs(level - 40) < 4 for level in levels)
    # a misread plate fills the picture, with a rim of a fifth of its width
    sizes = [PIL.Image.open(io.BytesIO(base64.b64decode(one))).size for one in pictures]
    assert sizes[0] == (280, 123)


def test_the_page_shows_pictures_as_they_were_read(pack: Path, tmp_path: Path) -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    PIL.Image.open(pack / "0.png").save(pack / "0.png", exif=exif)
    turned = cv2.imread(str(pack / "0.png"))
    assert turned is not None
    assert turned.shape == (400, 240, 3)
    result = evaluate("val", pipeline=_pipeline(), root=pack, show=None)
    write_page(result, tmp_path / "val.html")
    pictures = re.findall(r"base64,([^\"]+)", (tmp_path / "val.html").read_text())
    sizes = [PIL.Image.open(io.BytesIO(base64.b64decode(picture))).size for picture in pictures]
    assert len(sizes) == 5
    assert all(width > height for width, height in sizes)


def test_opening_test_is_logged(pack: Path, tmp_path: Path) -> None:
    log = tmp_path / "openings.jsonl"
    evaluate("val", pipeline=_pipeline(), root=pack, log=log, show=None)
    assert not log.exists()
    evaluate("test", pipeline=_pipeline(), root=pack, log=log, purpose="check the sums", show=None)
    (line,) = [json.loads(text) for text in log.read_text().splitlines()]
    assert line["purpose"] == "check the sums"
    assert line["result"]["reader"] == {"all": 33.3, "robertlucian": 33.3}
    assert {"date", "commit"} <= set(line)


def test_a_missing_pack_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no photographs"):
        evaluate("val", pipeline=_pipeline(), root=tmp_path / "nothing", show=None)
