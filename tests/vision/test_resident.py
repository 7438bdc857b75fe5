"""Pictures prepared with torch beside OpenCV, on the processor: the same pixels to within the rounding of bytes."""

import cv2
import numpy as np
import pytest
import torch

from vision.detector import TorchDetector, letterbox, normalise, shrink
from vision.pipeline import PlatePipeline
from vision.plates import random_plate, render_plate
from vision.reader import CROP_SIZE, VIEWS, TorchReader, _view_matrices, other_views
from vision.rectify import box_corners, rectify
from vision.registry import find_model
from vision.resident import fetch, letterboxed, rectified, resized, turned, upload
from vision.training.synth import synth_crop
from vision.types import Image

CPU = torch.device("cpu")
SIZES = [(720, 1280), (1080, 1920), (480, 640), (300, 200), (1944, 2592), (90, 160)]


def street(height: int, width: int, seed: int = 0) -> Image:
    """Shapes of all sizes under some noise."""
    rng = np.random.default_rng([seed, height, width])
    coarse = rng.integers(0, 255, (max(2, height // 24), max(2, width // 24), 3), dtype=np.uint8)
    picture = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    for k in range(3):
        plate = render_plate(random_plate(rng), max(12, height // (6 + 4 * k)))[: height // 2, : width // 2]
        y, x = int(rng.integers(0, height - plate.shape[0])), int(rng.integers(0, width - plate.shape[1]))
        picture[y : y + plate.shape[0], x : x + plate.shape[1]] = plate
    return np.clip(picture + rng.normal(0, 5, picture.shape), 0, 255).astype(np.uint8)


def apart(one: Image, other: Image) -> tuple[float, int]:
    """Mean and largest difference in grey levels."""
    gaps = np.abs(one.astype(int) - other.astype(int))
    return float(gaps.mean()), int(gaps.max())


def test_an_upload_keeps_the_pictures_and_their_order() -> None:
    pictures = [street(60, 90), street(40, 50), street(60, 90, seed=1)]
    for picture, tensor in zip(pictures, upload(pictures, CPU), strict=True):
        assert np.array_equal(tensor.numpy(), picture)
    assert upload([], CPU) == []


@pytest.mark.parametrize("size", SIZES)
def test_letterboxing_gives_what_shrink_gives(size: tuple[int, int]) -> None:
    picture = street(*size)
    box = letterbox(size[1], size[0])
    tensor = torch.from_numpy(picture)[None]
    small = resized(tensor, (box.inner_height, box.inner_width), area=box.by_area)[0].round().numpy()
    mean, largest = apart(small, shrink(picture, box))
    # OpenCV's linear shrinking counts in 2,048ths, by area it is exact
    assert mean < (0.01 if box.by_area else 0.2)
    assert largest <= 1


def test_tensors_and_arrays_together_are_refused() -> None:
    detector, array = TorchDetector.from_model(find_model("detector"), "cpu", "fp32"), street(90, 160)
    with pytest.raises(ValueError, match="1 of 2 pictures are tensors"):
        detector.detect([array, *upload([array], CPU)])


def test_slots_of_a_batch_hold_what_the_detector_prepares() -> None:
    pictures = [street(720, 1280), street(360, 640), street(720, 1280, seed=4)]
    boxes = [letterbox(1280, 720)] * 3
    boxes[1] = letterbox(640, 360)
    assert (boxes[0].height, boxes[0].width) == (boxes[1].height, boxes[1].width)
    batch = torch.zeros(3, boxes[0].height, boxes[0].width, 3).permute(0, 3, 1, 2)
    letterboxed(upload(pictures, CPU), boxes, batch)
    for slot, picture, box in zip(batch, pictures, boxes, strict=True):
        wanted = normalise(torch.from_numpy(shrink(picture, box)))
        assert (slot[:, : box.inner_height, : box.inner_width] - wanted).abs().mean() < 0.01
        assert not slot[:, box.inner_height :].any()


def quads(rng: np.random.Generator, width: int, height: int, count: int) -> list[np.ndarray]:
    """Plates of all sizes, slanted, some partly outside the picture."""
    found = []
    for _ in range(count):
        tall = float(np.exp(rng.uniform(np.log(8), np.log(0.6 * height))))
        x, y = rng.uniform(-0.1 * width, 0.9 * width), rng.uniform(-0.1 * height, 0.9 * height)
        upright = box_corners(x, y, tall * rng.uniform(1.5, 5), tall)
        found.append((upright + rng.normal(0, 0.06 * tall, (4, 2))).astype(np.float32))
    return found


def test_straightened_crops_are_rectifys() -> None:
    rng = np.random.default_rng(3)
    pictures = [street(720, 1280), street(480, 640), street(200, 300)]
    corners = [quads(rng, picture.shape[1], picture.shape[0], 40) for picture in pictures]
    crops = fetch(rectified(upload(pictures, CPU), corners, CROP_SIZE))
    wanted = [rectify(picture, quad, CROP_SIZE) for picture, own in zip(pictures, corners, strict=True) for quad in own]
    means, largest = zip(*(apart(one, other) for one, other in zip(crops, wanted, strict=True)), strict=True)
    assert max(means) < 0.02
    assert max(largest) <= 2


def test_a_large_plate_is_shrunk_by_area() -> None:
    checkers = np.indices((960, 1440)).sum(axis=0) % 2 * 255
    picture = np.repeat(checkers[..., None], 3, axis=2).astype(np.uint8)
    quad = box_corners(100, 100, 1000, 500)
    crop = fetch(rectified(upload([picture], CPU), [[quad]], CROP_SIZE))[0]
    assert crop.std() < 25, "single pixels of a fine pattern must not survive"


def test_corners_outside_askew_or_without_area() -> None:
    picture = np.full((50, 80, 3), 77, np.uint8)
    askew = np.array([[10, 10], [60, 12], [20, 30], [18, 11]], np.float32)
    far = [box_corners(-40, -10, 90, 30), box_corners(200, 200, 60, 20), box_corners(-4000, -900, 9000, 3000)]
    assert (rectified(upload([picture], CPU), [[*far, askew]], CROP_SIZE) == 77).all()
    with pytest.raises(ValueError, match="no area"):
        rectified(upload([picture], CPU), [[np.zeros((4, 2), np.float32)]], CROP_SIZE)
    assert rectified(upload([picture], CPU), [[]], CROP_SIZE).shape == (0, *CROP_SIZE, 3)


def test_a_huge_part_does_not_pad_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = street(720, 1280)
    long = box_corners(20, 300, 1200, 30)  # not tall enough to be shrunk, so its part is as wide as it is
    corners = [[box_corners(40, 40, 120, 40), long, box_corners(500, 500, 90, 30)]]
    shapes = []
    sample = torch.nn.functional.grid_sample

    def counted(sources: torch.Tensor, *rest: object, **named: object) -> torch.Tensor:
        shapes.append(tuple(sources.shape))
        return sample(sources, *rest, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(torch.nn.functional, "grid_sample", counted)
    crops = fetch(rectified(upload([picture], CPU), corners, CROP_SIZE))
    assert [shape[0] for shape in shapes] == [2, 1]
    assert max(shapes[0][2:]) < 200 < shapes[1][3]
    for crop, quad in zip(crops, corners[0], strict=True):
        assert apart(crop, rectify(picture, quad, CROP_SIZE))[0] < 0.02


def test_other_views_are_the_readers() -> None:
    crops = np.stack([synth_crop(np.random.default_rng(k), 0.5, CROP_SIZE).crop for k in range(6)])
    views = fetch(turned(torch.from_numpy(crops), _view_matrices(*CROP_SIZE)))
    wanted = [view for crop in crops for view in other_views(crop)]
    assert len(views) == 6 * len(VIEWS)
    assert np.mean([apart(one, other)[0] for one, other in zip(views, wanted, strict=True)]) < 0.02


def test_the_detector_finds_the_same_plates_in_tensors() -> None:
    detector = TorchDetector.from_model(find_model("detector"), "cpu", "fp32", threshold=0.3)
    pictures = [street(*size, seed=k) for k, size in enumerate([(720, 1280), (480, 640), (720, 1280), (1080, 1920)])]
    matched = 0
    for one, two in zip(detector.detect(pictures), detector.detect(upload(pictures, CPU)), strict=True):
        assert len(one) == len(two)
        for a, b in zip(one, two, strict=True):
            assert a.confidence == pytest.approx(b.confidence, abs=0.02)
            assert a.corners == pytest.approx(b.corners, abs=1.0)
        matched += len(one)
    assert matched >= 4
    with pytest.raises(ValueError, match=r"torch.float32 \(4, 4, 3\)"):
        detector.detect([torch.zeros(4, 4, 3)])


def test_the_reader_reads_the_same_texts_in_tensors() -> None:
    reader = TorchReader.load(find_model("reader"), "cpu", "fp32")
    rng = np.random.default_rng(12)
    crops = [synth_crop(rng, 0.5, CROP_SIZE).crop for _ in range(100)]
    again = [k % 2 == 0 for k in range(100)]
    host, device = reader.read(crops, again), reader.read(torch.from_numpy(np.stack(crops)), again)
    # the plain crops are the same bytes; only the second looks differ by some rounding
    assert [t for t, more in zip(host, again, strict=True) if not more] == [
        t for t, more in zip(device, again, strict=True) if not more
    ]
    assert np.mean([a.plate == b.plate for a, b in zip(host, device, strict=True)]) >= 0.97
    with pytest.raises(ValueError, match="rectify it first"):
        reader.read(torch.zeros(2, 10, 10, 3, dtype=torch.uint8))


def test_a_pipeline_gives_the_same_plates_where_pictures_stay_on_the_device() -> None:
    detector = TorchDetector.from_model(find_model("detector"), "cpu", "fp32", threshold=0.3)
    reader = TorchReader.load(find_model("reader"), "cpu", "fp32")
    pictures = [street(*size, seed=k) for k, size in enumerate([(720, 1280), (480, 640), (1080, 1920), (60, 60)])]
    stills = [True, False, True, False]
    host = PlatePipeline(detector, reader, "host").read(pictures, stills)
    there = PlatePipeline(detector, reader, "there", resident=CPU).read(pictures, stills)
    same, gaps = [], []
    for one, two in zip(host, there, strict=True):
        assert len(one) == len(two)
        for a, b in zip(one, two, strict=True):
            same.append(a.text.plate == b.text.plate)
            gaps.append(apart(a.crop, b.crop)[0])
            assert b.sharpness == pytest.approx(a.sharpness, rel=0.1)
    assert len(same) >= 4
    assert np.mean(same) >= 0.95
    assert np.mean(gaps) < 2.0, "corners differ by some hundredths of a pixel"
    assert PlatePipeline(detector, reader, "there", resident=CPU).read([]) == []
