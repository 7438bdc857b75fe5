"""The detector: geometry is exact, odd pictures do no harm, and the committed weights find plates."""

import json
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from vision.detector import (
    ALIGN,
    DEFAULT_TILES,
    Architecture,
    BodyKind,
    DetectorNet,
    TorchDetector,
    architecture_of,
    fuse,
    letterbox,
    network_of,
    normalise,
    normalise_into,
    shrink,
    stretch,
    suppress,
)
from vision.device import place
from vision.pipeline import PlatePipeline
from vision.plates import plate_with_text, random_plate, render_plate
from vision.registry import ModelError, ModelFolder, find_model
from vision.training.data import DEFAULT_ROOT, load_scenes
from vision.training.detector_extras import VAL_SLIPS
from vision.training.evaluate_detector import iou, judge_mended, labelled, summarise


@pytest.fixture(scope="module")
def detector() -> TorchDetector:
    return TorchDetector.from_model(find_model("detector"), "cpu", "auto", threads=1)


def street(width: int = 1280, height: int = 720) -> np.ndarray:
    """A dull road scene without a plate."""
    picture = np.full((height, width, 3), (150, 140, 130), np.uint8)
    cv2.rectangle(picture, (0, height // 2), (width, height), (90, 90, 92), -1)
    cv2.rectangle(picture, (width // 3, height // 3), (2 * width // 3, 4 * height // 5), (60, 40, 120), -1)
    noise = np.random.default_rng(3).normal(0, 4, picture.shape)
    return cv2.GaussianBlur(np.clip(picture + noise, 0, 255).astype(np.uint8), (0, 0), 1.0)


def with_plate(picture: np.ndarray, corners: np.ndarray, text: str = "XKT 4821", region: str = "US-NY") -> np.ndarray:
    plate = render_plate(plate_with_text(text, region), 96)
    h, w = plate.shape[:2]
    matrix = cv2.getPerspectiveTransform(np.array([[0, 0], [w, 0], [w, h], [0, h]], np.float32), corners)
    size = (picture.shape[1], picture.shape[0])
    laid = cv2.warpPerspective(plate, matrix, size, flags=cv2.INTER_AREA)
    mask = cv2.warpPerspective(np.full((h, w), 255, np.uint8), matrix, size)[..., None] / 255
    return (picture * (1 - mask) + cv2.GaussianBlur(laid, (0, 0), 0.7) * mask).astype(np.uint8)


@given(width=st.integers(1, 10_000), height=st.integers(1, 10_000))
def test_letterbox_maps_back_and_keeps_to_its_budget(width: int, height: int) -> None:
    box = letterbox(width, height)
    assert box.width % ALIGN == 0
    assert box.height % ALIGN == 0
    assert box.width * box.height <= DEFAULT_TILES * ALIGN**2
    assert box.inner_width <= box.width
    assert box.inner_height <= box.height
    inner = np.array([[0, 0], [box.inner_width, box.inner_height]], np.float32)
    assert box.to_picture(inner) == pytest.approx(np.array([[0, 0], [width, height]]), rel=1e-5)


def test_a_dash_cam_frame_fills_the_input() -> None:
    box = letterbox(1280, 720)
    assert (box.width, box.height, box.inner_height) == (768, 448, 432)
    assert (box.scale_x, box.scale_y) == pytest.approx((0.6, 0.6))


@pytest.mark.parametrize("size", [(432, 768), (300, 500), (7, 33), (1, 1)])
def test_a_picture_is_evened_out_in_place_as_it_is_beside(size: tuple[int, int]) -> None:
    picture = np.random.default_rng(4).integers(0, 256, (*size, 3), np.uint8)
    batch = torch.full((448, 800, 3), 7.0)
    inner = batch[: size[0], : size[1]]
    normalise_into(picture, inner)
    assert torch.equal(inner.permute(2, 0, 1), normalise(torch.from_numpy(picture)))
    inner.fill_(7.0)
    assert (batch == 7).all(), "something was written outside"


@pytest.mark.parametrize("body", ["plain", "lcnet4"])
def test_the_network_is_below_its_cost(body: BodyKind) -> None:
    network = DetectorNet(Architecture(body=body)).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, 3, letterbox(1280, 720).height, letterbox(1280, 720).width))
    assert 0.5e9 < counter.get_total_flops() < 1.5e9


@pytest.mark.parametrize(
    "architecture", [Architecture((8, 8, 16, 16, 16), (1, 1, 1, 1), 16), Architecture(body="lcnet4", neck=16)]
)
def test_fusing_norms_changes_nothing(architecture: Architecture) -> None:
    torch.manual_seed(0)
    network = DetectorNet(architecture)
    picture = torch.randn(2, 3, 64, 96)
    network.train()(picture)
    network.eval()
    with torch.inference_mode():
        before = network(picture)
        after = fuse(network)(picture)
    for a, b in zip(before, after, strict=True):
        assert torch.allclose(a, b, atol=1e-4)


def test_a_card_tells_the_body_that_a_network_has() -> None:
    architecture = Architecture(body="lcnet4", neck=16)
    card = json.loads(json.dumps(asdict(architecture)))

    def model(described: object) -> ModelFolder:
        return ModelFolder("mine", Path("mine"), {"architecture": described})

    assert architecture_of(model(card)) == architecture
    assert architecture_of(model({key: value for key, value in card.items() if key != "body"})).body == "plain"
    with pytest.raises(ModelError, match=r"the card of mine does not .*'resnet' is no body of a detector"):
        architecture_of(model(card | {"body": "resnet"}))
    for rubbish in (None, {}, card | {"widths": 3}, card | {"neck": "wide"}):
        with pytest.raises(ModelError, match="the card of mine does not describe a detector"):
            architecture_of(model(rubbish))


def test_a_first_design_card_still_builds_its_network() -> None:
    network = network_of(find_model("detector", "detector-v1"))
    heat, geometry = network.eval()(torch.zeros(1, 3, 64, 96))
    assert (heat.shape, geometry.shape) == ((1, 8, 12), (1, 12, 8, 12))


def test_normalising_takes_out_gain_and_cast() -> None:
    picture = street(320, 192)
    dim = (picture * np.array([0.5, 0.3, 0.4])).astype(np.uint8)
    plain, dimmed = (normalise(torch.from_numpy(image)) for image in (picture, dim))
    assert plain.mean(dim=(1, 2)).abs().max() < 1e-3
    assert dimmed.mean(dim=(1, 2)).abs().max() < 1e-3
    assert float(plain.std()) == pytest.approx(float(dimmed.std()), rel=0.3)


def test_corners_touch_all_sides_of_the_box() -> None:
    boxes = np.array([[100, 50, 40, 20]], np.float32)
    slanted = np.array([[[0.1, 0.0], [0.9, 0.2], [0.9, 0.9], [0.0, 0.7]]], np.float32)
    corners = stretch(boxes, slanted)[0]
    assert corners.min(axis=0) == pytest.approx([80, 40])
    assert corners.max(axis=0) == pytest.approx([120, 60])
    flat = np.zeros((1, 4, 2), np.float32)
    assert stretch(boxes, flat)[0] == pytest.approx(np.array([[80, 40], [120, 40], [120, 60], [80, 60]]))


def test_overlapping_boxes_are_dropped_and_neighbours_stay() -> None:
    boxes = np.array([[50, 50, 40, 10], [52, 50, 40, 10], [50, 50, 16, 6], [95, 50, 40, 10]], np.float32)
    scores = np.array([0.8, 0.9, 0.95, 0.3], np.float32)
    assert suppress(boxes[[0, 1, 3]], scores[[0, 1, 3]], 0.4) == [1, 2]
    assert suppress(boxes, scores, 0.4) == [2, 3]


@pytest.mark.parametrize("shape", [(1, 1, 3), (3, 10_000, 3), (10_000, 3, 3), (31, 33, 3), (2160, 3840, 3)])
def test_any_size_is_looked_at(detector: TorchDetector, shape: tuple[int, int, int]) -> None:
    for found in detector.detect([np.full(shape, 128, np.uint8)])[0]:
        assert np.isfinite(found.corners).all()


@pytest.mark.parametrize(
    "picture", [np.zeros((10, 10), np.uint8), np.zeros((10, 10, 4), np.uint8), np.zeros((10, 10, 3), np.float32),
                np.zeros((0, 10, 3), np.uint8)]
)  # fmt: skip
def test_what_is_no_picture_is_refused_by_number(detector: TorchDetector, picture: np.ndarray) -> None:
    with pytest.raises(ValueError, match="picture 1 is"):
        detector.detect([street(64, 64), picture])


def test_no_pictures_no_detections(detector: TorchDetector) -> None:
    assert detector.detect([]) == []


@pytest.mark.parametrize(
    ("text", "region", "size"),
    [("XKT 4821", "US-NY", (62, 31)), ("B 123 XYZ", "RO", (104, 24)), ("ABC1D23", "BR", (90, 30))],
)  # fmt: skip
def test_a_rendered_plate_is_found_where_it_is(
    detector: TorchDetector, text: str, region: str, size: tuple[int, int]
) -> None:
    w, h = size
    corners = np.array([[600, 420], [600 + w, 424], [600 + w, 424 + h], [600, 420 + h]], np.float32)
    found = detector.detect([with_plate(street(), corners, text, region)])[0]
    assert found, "the plate was not found"
    assert found[0].confidence <= 1
    assert iou(found[0].box, (600.0, 420.0, float(w), float(h + 4))) > 0.6
    assert np.abs(found[0].corners - corners).max() < 0.12 * w


def test_a_batch_finds_what_single_pictures_show() -> None:
    detector = TorchDetector.from_model(find_model("detector"), "cpu", "fp32", threads=1)
    spot = np.array([[300, 220], [380, 220], [380, 245], [300, 245]], np.float32)
    pictures = [with_plate(street(), spot * 1.3), with_plate(street(640, 480), spot), street(400, 400)]
    pictures += [with_plate(street(), spot + 40 * k) for k in range(4)]
    together = detector.detect(pictures)
    assert sum(map(len, together)) >= 3
    for picture, batched in zip(pictures, together, strict=True):
        alone = detector.detect([picture])[0]
        assert len(alone) == len(batched)
        for a, b in zip(alone, batched, strict=True):
            assert a.confidence == pytest.approx(b.confidence, abs=1e-3)
            assert a.corners == pytest.approx(b.corners, abs=0.05)


def test_bf16_and_fp32_agree() -> None:
    corners = np.array([[600, 420], [700, 424], [700, 450], [600, 446]], np.float32)
    picture = with_plate(street(), corners)
    model = find_model("detector")
    exact, short = (TorchDetector.from_model(model, "cpu", kind).detect([picture])[0] for kind in ("fp32", "bf16"))
    assert exact[0].confidence == pytest.approx(short[0].confidence, abs=0.08)
    assert exact[0].corners == pytest.approx(short[0].corners, abs=2.0)


def test_shrink_leaves_a_fitting_picture_alone() -> None:
    picture = street(640, 360)
    assert shrink(picture, letterbox(640, 360)).shape[1] == letterbox(640, 360).inner_width
    assert place("cpu", "fp32").dtype == torch.float32


@pytest.mark.data
@pytest.mark.skipif(not DEFAULT_ROOT.is_dir(), reason="../shared/data, the pack of photographs, is not there")
def test_plates_are_found_on_real_photographs(detector: TorchDetector) -> None:
    scenes = labelled(load_scenes("val", sources=["open-lpr", "robertlucian", "nanonets"]))[::4]
    table = summarise(judge_mended(detector, scenes, VAL_SLIPS)[0], detector.threshold)
    assert table["all"]["plates"] > 40
    assert table["all"]["recall"] > 85
    assert table["all"]["mean_iou"] > 0.7


@pytest.fixture(scope="module")
def drive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from cameras.simulator import simulate

    out = tmp_path_factory.mktemp("drive") / "out"
    simulate(out, seed=4, cameras=1, seconds=12, fps=1, conditions=["overcast"])
    return out


def test_plates_are_found_in_simulated_frames(detector: TorchDetector, drive: Path) -> None:
    from vision.training.drives import load_drive

    plates = found = 0
    for scene in load_drive(drive):
        picture = cv2.imread(str(scene.image))
        detections = detector.detect([picture])[0]
        for plate in scene.plates or ():
            low, high = np.min(plate.corners, axis=0), np.max(plate.corners, axis=0)
            if plate.unsure or high[1] - low[1] < 14:
                continue
            plates += 1
            box = (low[0], low[1], high[0] - low[0], high[1] - low[1])
            found += any(iou(detection.box, box) >= 0.5 for detection in detections)
    assert plates >= 5
    assert found >= 0.7 * plates


def test_a_larger_input_finds_smaller_plates_in_large_pictures() -> None:
    rng = np.random.default_rng(8)
    noise = np.clip(90 + rng.normal(0, 14, (1080, 1920, 3)), 0, 255).astype(np.uint8)
    picture = np.asarray(cv2.GaussianBlur(noise, (0, 0), 2), np.uint8)
    middles = []
    for k in range(8):
        large = np.asarray(render_plate(random_plate(rng), 39), np.uint8)
        plate = cv2.resize(large, (large.shape[1] // 3, 13), interpolation=cv2.INTER_AREA)
        y, x, width = 200 + 100 * k, 150 + 200 * k, plate.shape[1]
        cv2.rectangle(picture, (x - 25, y - 18), (x + width + 25, y + 31), (40, 40, 60), -1)
        picture[y : y + 13, x : x + width] = plate
        middles.append((x + width / 2, y + 6.5))

    def found(tiles: int | None) -> int:
        pipeline = PlatePipeline.load("cpu", "fp32", engine="torch", tiles=tiles)
        boxes = [plate.box for plate in pipeline.detector.detect([picture])[0]]
        return sum(any(abs(a + c / 2 - x) < 8 and abs(b + d / 2 - y) < 6 for a, b, c, d in boxes) for x, y in middles)

    assert found(1344) >= found(None) + 4
