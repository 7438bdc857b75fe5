"""The smaller pack: it fits, its annotation fits its pictures, and the test split is not in it."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from fleet.cli import cli
from vision.training import detector_extras, reader_extras
from vision.training.data import DataError, Scene, load_crops, load_scenes
from vision.training.packing import pack
from vision.training.reader_data import load_real_plates

MARK = (300, 200, 90, 30)
"""Box of the white patch that stands for a plate in every scene."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pack of invented pictures: nine scenes with one bright patch each, and three crops."""
    root = tmp_path_factory.mktemp("whole")
    (root / "scenes" / "robertlucian").mkdir(parents=True)
    (root / "crops" / "nanonets").mkdir(parents=True)
    scenes, crops = [], []
    x, y, w, h = MARK
    for number in range(9):
        grain = np.random.default_rng(number).integers(0, 120, (480, 640, 3), dtype=np.uint8)
        grain[y : y + h, x : x + w] = 250
        name = f"scenes/robertlucian/{number}.jpg"
        cv2.imwrite(str(root / name), grain, [cv2.IMWRITE_JPEG_QUALITY, 95])
        corners = [[x, y], [x + w, y], [x + w, y + h], [x, y + h]]
        scenes.append(
            {"image": name, "source": "robertlucian", "width": 640, "height": 480, "country": "RO",
             "split": ("train", "val", "test")[number % 3],
             "plates": [{"box": list(MARK), "corners": corners, "text": f"XX0{number}AAA"}]}
        )  # fmt: skip
    for number, split in enumerate(("train", "val", "test")):
        name = f"crops/nanonets/{number}.jpg"
        cv2.imwrite(str(root / name), np.full((20, 60, 3), 60 * number, np.uint8))
        crops.append(
            {"image": name, "source": "nanonets", "text": f"AB{number}", "country": "IN", "split": split,
             "label": "checked"}
        )  # fmt: skip
    (root / "scenes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in scenes))
    (root / "crops.jsonl").write_text("".join(json.dumps(row) + "\n" for row in crops))
    return root


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def small(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tenth of it, in bytes."""
    out = tmp_path_factory.mktemp("small") / "pack"
    made = pack(out, limit=size_of(whole) // 10, root=whole)
    assert made.size == size_of(out) <= size_of(whole) // 10
    return out


def test_test_is_left_out_altogether(small: Path, whole: Path) -> None:
    rows = [json.loads(line) for name in ("scenes.jsonl", "crops.jsonl") for line in (small / name).open()]
    assert {row["split"] for row in rows} == {"train", "val"}
    assert {str(path.relative_to(small)) for path in small.rglob("*.jpg")} == {row["image"] for row in rows}
    assert len(rows) == 8
    with pytest.raises(DataError, match="test split is not packed"):
        pack(small.parent / "other", limit=10**6, root=whole, splits=("val", "test"))


def test_boxes_and_corners_lie_on_their_plates(small: Path) -> None:
    for scene in load_scenes("train", root=small):
        picture = cv2.imread(str(scene.image))
        assert picture.shape[:2] == (scene.height, scene.width)
        assert scene.scale == pytest.approx(scene.width / 640, abs=0.01)
        assert scene.scale < 1
        assert scene.plates is not None
        (plate,) = scene.plates
        assert plate.box is not None
        assert plate.corners is not None
        x, y, w, h = plate.box
        assert np.allclose(plate.corners, [[x, y], [x + w, y], [x + w, y + h], [x, y + h]], atol=0.02)
        bright = np.argwhere(picture.min(axis=2) > 170)
        top, left = bright.min(axis=0)
        bottom, right = bright.max(axis=0) + 1
        assert np.allclose((left, top, right, bottom), (x, y, x + w, y + h), atol=1.6)


def test_the_reader_and_the_crops_load_from_it(small: Path) -> None:
    assert {plate.text for plate in load_real_plates("val", root=small)} == {"XX01AAA", "XX04AAA", "XX07AAA", "AB1"}
    assert [crop.text for crop in load_crops("train", root=small)] == ["AB0"]


def test_a_pack_that_fits_is_copied_as_it_is(whole: Path, tmp_path: Path) -> None:
    pack(tmp_path / "out", limit=size_of(whole), root=whole, splits=("val",))
    for scene in load_scenes("val", root=tmp_path / "out"):
        assert scene.scale == 1.0
        assert scene.image.read_bytes() == (whole / "scenes" / "robertlucian" / scene.image.name).read_bytes()
    assert load_scenes("train", root=tmp_path / "out") == []


def test_lists_of_further_plates_shrink_with_their_scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(Path("data/scenes/s/a.jpg"), "s", 50, 50, (), None, "train", scale=0.5)
    file = tmp_path / "extras.json"
    file.write_text(json.dumps({"plates": {"scenes/s/a.jpg": [[20, 40, 60, 10]]}}))
    (found,) = detector_extras.with_extras([scene], file)
    assert found.plates is not None
    assert [plate.box for plate in found.plates] == [(10, 20, 30, 5)]
    listing = {"plates": {"scenes/s/a.jpg": [[20, 40, 60, 10, "AB12", "RO"]]}, "texts": {}}
    monkeypatch.setattr(reader_extras, "_extras", lambda: listing)
    (plate,) = reader_extras.plates_of(scene)
    assert (plate.label.box, plate.label.text, plate.country) == ((10, 20, 30, 5), "AB12", "RO")


def test_from_the_command_line(whole: Path, tmp_path: Path) -> None:
    arguments = ["pack", "--out", str(tmp_path / "out"), "--data", str(whole), "--split", "val"]
    done = CliRunner().invoke(cli, [*arguments, "--limit-mib", "0.05"])
    assert done.exit_code == 0, done.output
    assert size_of(tmp_path / "out") <= 0.05 * 2**20
    again = CliRunner().invoke(cli, arguments)
    assert isinstance(again.exception, DataError)
    assert "is not empty" in str(again.exception)
    with pytest.raises(DataError, match="allow more"):
        pack(tmp_path / "other", limit=1000, root=whole)
