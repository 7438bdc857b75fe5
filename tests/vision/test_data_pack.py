"""The manifest of real photographs: rows are typed, splits do not leak, test is opened in the open."""

import json
import re
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from vision.alphabet import SYMBOLS
from vision.training import reader_extras
from vision.training.data import (
    DEFAULT_ROOT,
    LICENCES,
    Crop,
    DataError,
    PlateLabel,
    Scene,
    licensed_sources,
    load_crops,
    load_scenes,
    open_test,
)
from vision.training.reader_extras import EXTRAS

SCENES = [
    {
        "image": "scenes/a/1.jpg", "source": "robertlucian", "width": 100, "height": 50, "country": "RO",
        "split": "train", "plates": [{"box": [1, 2, 30, 10], "corners": None, "text": "XX01AAA"}],
    },
    {
        "image": "scenes/a/2.jpg", "source": "nanonets", "width": 100, "height": 50, "country": "IN", "split": "test",
        "plates": [],
    },
    {
        "image": "scenes/a/3.jpg", "source": "chirag-anpr", "width": 100, "height": 50, "country": "IN",
        "split": "train", "plates": None, "unlabelled": True,
    },
]  # fmt: skip
CROPS = [
    {"image": "crops/1.jpg", "source": "reported-nyc", "text": "ABC1234", "country": "US-NY", "split": "val",
     "label": "file-name (unverified)"},
]  # fmt: skip


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    (tmp_path / "scenes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in SCENES))
    (tmp_path / "crops.jsonl").write_text("".join(json.dumps(row) + "\n" for row in CROPS))
    return tmp_path


def test_rows_are_typed(pack: Path) -> None:
    labelled, unlabelled = load_scenes("train", root=pack)
    assert labelled.plates is not None
    assert labelled.plates[0].box == (1.0, 2.0, 30.0, 10.0)
    assert labelled.image == pack / "scenes/a/1.jpg"
    assert unlabelled.plates is None
    assert [crop.checked for crop in load_crops("val", root=pack)] == [False]


def test_the_licence_filter_leaves_sources_out(pack: Path) -> None:
    assert {s.source for s in load_scenes("train", root=pack, licence="permissive")} == {"robertlucian", "chirag-anpr"}
    assert load_crops("val", root=pack, licence="stated") == []
    assert licensed_sources("permissive") < licensed_sources("stated") < licensed_sources("any") == set(LICENCES)


def test_test_is_only_read_in_the_open_and_leaves_a_line(pack: Path, tmp_path: Path) -> None:
    log = tmp_path / "openings.jsonl"
    with pytest.raises(DataError, match="evaluate"):
        load_scenes("test", root=pack)
    with open_test("detector", log=log) as opening:
        assert len(load_scenes("test", root=pack, opening=opening)) == 1
        opening.result["recall"] = 97.5
    with pytest.raises(DataError, match="evaluate"):
        load_scenes("test", root=pack, opening=opening)
    line = json.loads(log.read_text())
    assert line["result"] == {"recall": 97.5}
    assert line["purpose"] == "detector"
    assert {"date", "commit"} <= set(line)


def test_an_opening_is_kept_before_anything_is_read(tmp_path: Path) -> None:
    log = tmp_path / "openings.jsonl"
    log.write_text('{"purpose": "before"}\n')
    with open_test("reader", log=log) as opening:
        opening.result["exact"] = 0.9
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        assert [(line["purpose"], line.get("result")) for line in lines] == [("before", None), ("reader", {})]
    assert json.loads(log.read_text().splitlines()[1])["result"] == {"exact": 0.9}


def test_an_opening_that_fails_is_kept_too(tmp_path: Path) -> None:
    log = tmp_path / "openings.jsonl"
    with pytest.raises(RuntimeError), open_test("reader", log=log):
        raise RuntimeError("power cut")
    assert "power cut" in json.loads(log.read_text())["result"]["error"]


def test_errors_say_what_and_where(pack: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no photographs at"):
        load_scenes("train", root=tmp_path / "nowhere")
    with pytest.raises(DataError, match="unknown split"):
        load_scenes("holdout", root=pack)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="unknown source"):
        load_scenes("train", root=pack, sources=["flickr"])
    with pytest.raises(DataError, match="licence"):
        load_scenes("train", root=pack, licence="free")  # type: ignore[arg-type]
    (pack / "scenes.jsonl").write_text('{"image": 1}\n')
    with pytest.raises(DataError, match="line 1"):
        load_scenes("train", root=pack)


@pytest.mark.data
@pytest.mark.skipif(not DEFAULT_ROOT.is_dir(), reason="../shared/data, the pack of photographs, is not there")
def test_no_plate_and_no_picture_crosses_a_split() -> None:
    texts, files, images = defaultdict(set), defaultdict(set), set()
    for name in ("scenes.jsonl", "crops.jsonl"):
        for line in (DEFAULT_ROOT / name).read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            assert row["source"] in LICENCES
            assert row["image"] not in images, "a picture is listed twice"
            images.add(row["image"])
            for plate in row["plates"] or () if "plates" in row else ({"text": row["text"]},):
                if plate["text"]:
                    texts[plate["text"]].add(row["split"])
            content = (DEFAULT_ROOT / row["image"]).read_bytes()
            files[hash(content)].add(row["split"])
    assert [text for text, splits in texts.items() if len(splits) > 1] == []
    assert [key for key, splits in files.items() if len(splits) > 1] == []


_SAME_PICTURE = 30
"""Of 256 signs, so many may differ in a picture that was only scaled or compressed anew; of the pack's splits the
nearest differ in 38, two screenshots of different motorcycles with the same black bars."""


def _signs(path: Path, level: int = cv2.IMREAD_GRAYSCALE) -> NDArray[np.bool_]:
    """The difference hash of a picture: where on a grid of 16 x 17 it gets brighter to the right."""
    picture = cv2.imread(str(path), level)
    assert picture is not None, path
    small = cv2.resize(picture, (17, 16), interpolation=cv2.INTER_AREA).astype(int)
    return np.asarray((small[:, 1:] > small[:, :-1]).ravel(), np.bool_)


def _apart(signs: NDArray[np.bool_]) -> NDArray[np.float32]:
    """In how many signs each of N pictures differs from each other, N x N."""
    ones = signs.astype(np.float32)
    count = ones.sum(axis=1)
    return np.asarray(count[:, None] + count[None] - 2 * ones @ ones.T, np.float32)


def test_a_copy_is_told_from_another_picture(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    names = []
    for k in range(2):
        scene = cv2.resize(
            rng.integers(0, 255, (12, 20, 3)).astype(np.uint8), (640, 400), interpolation=cv2.INTER_CUBIC
        )
        copy = cv2.resize(scene, (420, 250), interpolation=cv2.INTER_AREA)
        for name, picture, quality in ((f"{k}.jpg", scene, 95), (f"{k}-copy.jpg", copy, 30)):
            names.append(tmp_path / name)
            cv2.imwrite(str(names[-1]), picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    apart = _apart(np.array([_signs(name) for name in names]))
    assert max(apart[0, 1], apart[2, 3]) <= _SAME_PICTURE
    assert apart[:2, 2:].min() > 2 * _SAME_PICTURE


@pytest.mark.data
@pytest.mark.skipif(not DEFAULT_ROOT.is_dir(), reason="../shared/data, the pack of photographs, is not there")
def test_no_near_duplicate_crosses_a_split() -> None:
    signs, splits, images = [], [], []
    for name, level in (("scenes.jsonl", cv2.IMREAD_REDUCED_GRAYSCALE_4), ("crops.jsonl", cv2.IMREAD_GRAYSCALE)):
        for line in (DEFAULT_ROOT / name).read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            signs.append(_signs(DEFAULT_ROOT / row["image"], level))
            splits.append(row["split"])
            images.append(row["image"])
    of = np.array(splits)
    pairs = np.argwhere((_apart(np.array(signs)) <= _SAME_PICTURE) & (of[:, None] != of[None]))
    assert [(images[a], images[b]) for a, b in pairs] == []


@pytest.fixture(scope="module")
def listing() -> dict[str, dict]:
    """The texts read by eye, as they are committed."""
    found: dict[str, dict] = json.loads(EXTRAS.read_text(encoding="utf-8"))
    return found


@pytest.mark.data
@pytest.mark.skipif(not DEFAULT_ROOT.is_dir(), reason="../shared/data, the pack of photographs, is not there")
def test_no_text_read_by_eye_stands_in_another_split(listing: dict[str, dict]) -> None:
    elsewhere = set()
    for name in ("scenes.jsonl", "crops.jsonl"):
        for line in (DEFAULT_ROOT / name).read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            if row["split"] != "train":
                elsewhere |= {plate["text"] for plate in row.get("plates") or () if plate["text"]}
                elsewhere |= {row["text"]} if "text" in row else set()
    read = {text for plates in listing["plates"].values() for *_, text, _ in plates}
    read |= {text for text in listing["texts"].values() if text}
    assert len(read) > 500
    assert read & elsewhere == set()


@pytest.mark.data
@pytest.mark.skipif(not DEFAULT_ROOT.is_dir(), reason="../shared/data, the pack of photographs, is not there")
def test_plates_read_by_eye_lie_in_pictures_of_train(listing: dict[str, dict]) -> None:
    scenes = {"/".join(scene.image.parts[-3:]): scene for scene in load_scenes("train")}
    crops = {"/".join(crop.image.parts[-3:]) for crop in load_crops("train")}
    assert set(listing["plates"]) <= set(scenes)
    assert set(listing["texts"]) <= crops
    for name, plates in listing["plates"].items():
        for x, y, width, height, text, country in plates:
            assert x >= 0, name
            assert y >= 0, name
            assert width > 0, name
            assert height > 0, name
            assert x + width <= scenes[name].width, name
            assert y + height <= scenes[name].height, name
            assert text, name
            assert all(sign in SYMBOLS for sign in text), name
            assert country is None or re.fullmatch("[A-Z]{2}(-[A-Z]{2})?", country), name


def test_plates_of_a_scene_are_its_own_and_those_read_by_eye(monkeypatch: pytest.MonkeyPatch) -> None:
    listing = {"plates": {"scenes/a/1.jpg": [[5, 6, 40, 12, "YY22BBB", None]]}, "texts": {}}
    monkeypatch.setattr(reader_extras, "_extras", lambda: listing)
    own = (PlateLabel((1.0, 2.0, 30.0, 10.0), None, "XX01AAA"), PlateLabel((50.0, 2.0, 30.0, 10.0), None, None))
    scene = Scene(Path("data/scenes/a/1.jpg"), "a", 100, 50, own, "RO", "train")
    found = [(plate.label.box, plate.label.text, plate.country) for plate in reader_extras.plates_of(scene)]
    assert found == [((1.0, 2.0, 30.0, 10.0), "XX01AAA", "RO"), ((5, 6, 40, 12), "YY22BBB", None)]
    assert len(reader_extras.plates_of(replace(scene, plates=None))) == 1
    assert len(reader_extras.plates_of(replace(scene, image=Path("data/scenes/a/2.jpg")))) == 1
    assert len(reader_extras.plates_of(replace(scene, split="val"))) == 1, "the list is of train alone"


def test_the_text_of_a_crop_is_the_mended_one(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = {"data/crops/1.jpg": "XX99XXX", "data/crops/2.jpg": None}
    monkeypatch.setattr(reader_extras, "_extras", lambda: {"plates": {}, "texts": texts})
    crop = Crop(Path("data/crops/1.jpg"), "reported-nyc", "XX98XXX", "US-NY", "train", False)
    assert reader_extras.text_of(crop) == "XX99XXX"
    assert reader_extras.text_of(replace(crop, image=Path("data/crops/2.jpg"))) is None
    assert reader_extras.text_of(replace(crop, image=Path("data/crops/3.jpg"))) == "XX98XXX"
    assert reader_extras.text_of(replace(crop, split="val")) == "XX98XXX"
