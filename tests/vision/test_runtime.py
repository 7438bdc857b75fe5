"""ONNX files beside torch: same numbers in float32, nearly the same plates in bf16 and 8 bits, and an honest choice."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from vision import engines
from vision.detector import GridDetector, TorchDetector, letterbox
from vision.device import DeviceError
from vision.engines import MOST_LOST, Choice, choose_engines, exact_in_8_bits
from vision.pipeline import PlatePipeline
from vision.plates import random_plate, render_plate
from vision.reader import CROP_SIZE, TorchReader
from vision.rectify import box_corners, rectify
from vision.registry import ModelError, ModelFolder, find_model, read_folder, sha256_of
from vision.runtime_onnx import ONNX_ENGINES, OnnxDetector, OnnxEngine, OnnxReader, find_variant
from vision.runtime_openvino import Session
from vision.training import variants
from vision.training.evaluate_detector import iou
from vision.training.evaluate_reader import ValSet
from vision.training.reader_data import RealPlate
from vision.types import Detection, Image

NOWHERE = Path("no photographs here")
IN_8_BITS = pytest.param(
    "onnx-int8",
    marks=pytest.mark.skipif(not exact_in_8_bits(), reason="this processor's 8-bit sums run over"),
)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[ModelFolder, ModelFolder]:
    """The committed detector and reader, exported anew on invented plates."""
    home = tmp_path_factory.mktemp("exported")
    for kind in ("detector", "reader"):
        shutil.copytree(find_model(kind).path, home / kind)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(variants, "PICTURES", 12)
        patch.setattr(variants, "CROPS", 96)
        told: list[str] = []
        variants.export(read_folder(home / "detector"), read_folder(home / "reader"), root=NOWHERE, tell=told.append)
    assert "no photographs" in told[0]
    return read_folder(home / "detector"), read_folder(home / "reader")


def scenes(count: int, seed: int, size: tuple[int, int] = (720, 1280)) -> list[Image]:
    """Rendered plates on cards before a dull street."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        picture = np.full((*size, 3), (150, 140, 130), np.float32)
        picture[size[0] // 2 :] = (90, 90, 92)
        for k in range(3):
            plate = render_plate(random_plate(rng), int(rng.integers(24, 60)))
            h, w = plate.shape[:2]
            y, x = int(rng.integers(40, size[0] - h - 40)), int(k * size[1] / 3 + rng.integers(20, 80))
            w = min(w, size[1] - x - 10)
            picture[y - 30 : y + h + 30, max(0, x - 20) : x + w + 20] = (60, 40, 120)
            picture[y : y + h, x : x + w] = plate[:, :w]
        noisy = picture + rng.normal(0, 4, picture.shape)
        found.append(cv2.GaussianBlur(np.clip(noisy, 0, 255).astype(np.uint8), (0, 0), 0.8))
    return found


def clean_plates(count: int, seed: int) -> list[Image]:
    rng = np.random.default_rng(seed)
    pictures = [render_plate(random_plate(rng), 96) for _ in range(count)]
    return [rectify(p, box_corners(0, 0, p.shape[1], p.shape[0]), CROP_SIZE, margin=0.0) for p in pictures]


@pytest.mark.parametrize("shape", [(1, 448, 768), (3, 320, 1056), (2, 96, 64)])
def test_the_detectors_numbers_are_torchs(exported: tuple[ModelFolder, ModelFolder], shape: tuple[int, ...]) -> None:
    detectors = TorchDetector.from_model(exported[0], "cpu", "fp32"), OnnxDetector.from_model(exported[0], "onnx")
    pixels = torch.randn(*shape, 3, generator=torch.Generator().manual_seed(1)).permute(0, 3, 1, 2)
    with torch.inference_mode():
        (heat, geometry), (other_heat, other_geometry) = (one._network(pixels) for one in detectors)
    assert (heat - other_heat).abs().max() < 1e-3
    assert (geometry - other_geometry).abs().max() < 1e-3


def test_the_readers_numbers_and_texts_are_torchs(exported: tuple[ModelFolder, ModelFolder]) -> None:
    torches, other = TorchReader.load(exported[1], "cpu", "fp32"), OnnxReader.load(exported[1], "onnx")
    crops = clean_plates(60, seed=71)
    blurred = [cv2.GaussianBlur(crop, (0, 0), 2.2) for crop in crops[:20]]
    for part in (crops[:1], crops[1:8], crops + blurred):
        for one, two in zip(torches.look(part), other.look(part), strict=True):
            assert np.abs(one - two).max() < 1e-3
    assert [r.plate for r in torches.read(crops + blurred)] == [r.plate for r in other.read(crops + blurred)]
    assert other.read([]) == []


def test_float32_finds_the_same_plates(exported: tuple[ModelFolder, ModelFolder]) -> None:
    pictures = [*scenes(4, seed=5), *scenes(3, seed=6, size=(480, 640))]
    torches = TorchDetector.from_model(exported[0], "cpu", "fp32", threshold=0.25)
    other = OnnxDetector.from_model(exported[0], "onnx", threshold=0.25)
    seen = 0
    for one, two in zip(torches.detect(pictures), other.detect(pictures), strict=True):
        assert len(one) == len(two)
        for a, b in zip(one, two, strict=True):
            assert a.confidence == pytest.approx(b.confidence, abs=1e-3)
            assert a.corners == pytest.approx(b.corners, abs=0.05)
        seen += len(one)
    assert seen >= 7


def test_openvino_evens_pictures_out_as_the_others_do(exported: tuple[ModelFolder, ModelFolder]) -> None:
    evening = OnnxDetector.from_model(exported[0], "openvino", threshold=0.25)
    session = Session(find_variant(exported[0], "openvino").path.read_bytes(), 1)
    evened = OnnxDetector.from_run(exported[0], session, threshold=0.25)
    bright, flat = scenes(1, seed=7, size=(700, 800))[0], np.full((480, 640, 3), 250, np.uint8)
    pictures = [*scenes(3, seed=5), *scenes(2, seed=6, size=(333, 1111)), bright, bright // 8, flat, flat[:1, :1]]
    boxes = [letterbox(picture.shape[1], picture.shape[0]) for picture in pictures]
    assert any(box.inner_width < box.width for box in boxes)
    assert any(box.inner_height < box.height for box in boxes)
    # one step of bf16 at the size that logits have; three times, as the third has networks for one shape alone
    most = 2.0**-4 if session.precision == "bf16" else 1e-4
    for picture, box in list(zip(pictures, boxes, strict=True)) * 3:
        ours, theirs = (one._network(*one._prepare([picture], [box], one.placement)) for one in (evening, evened))
        for a, b in zip(ours, theirs, strict=True):
            assert (a - b).abs().max() <= most
    assert sum(map(len, evening.detect(pictures))) >= 6


def test_a_shape_that_comes_often_has_a_network_of_its_own(exported: tuple[ModelFolder, ModelFolder]) -> None:
    session = Session(find_variant(exported[1], "openvino").path.read_bytes(), 1)
    small, large = (
        torch.randn(count, 3, *CROP_SIZE, generator=torch.Generator().manual_seed(count)) for count in (2, 17)
    )
    alone = [session(small)[0].copy() for _ in range(4)]
    together = [session(large)[0].copy() for _ in range(4)]
    assert list(session._fixed) == [(2, *CROP_SIZE, 3)]
    for one in alone, together:
        assert all(np.abs(one[0] - other).max() <= 2.0**-4 for other in one)
    for count in range(1, 12):
        for _ in range(3):
            session(large[:count])
    assert len(session._fixed) == 8


def _matched(sure: list[list[Detection]], all_of: list[list[Detection]]) -> list[bool]:
    pairs = zip(sure, all_of, strict=True)
    return [any(iou(one.box, two.box) >= 0.8 for two in others) for ones, others in pairs for one in ones]


@pytest.mark.parametrize("engine", [IN_8_BITS, "openvino"])
def test_other_number_types_find_the_same_plates(exported: tuple[ModelFolder, ModelFolder], engine: OnnxEngine) -> None:
    pictures = scenes(24, seed=9)

    def found(make: type[GridDetector], threshold: float, engine: str) -> list[list[Detection]]:
        return make.from_model(exported[0], engine, threshold=threshold).detect(pictures)  # type: ignore[attr-defined]

    # what one is sure of the other must see; at the threshold itself either may fall to either side
    sure = found(TorchDetector, 0.4, "cpu"), found(OnnxDetector, 0.4, engine)
    seen = found(TorchDetector, 0.2, "cpu"), found(OnnxDetector, 0.2, engine)
    forth, back = _matched(sure[0], seen[1]), _matched(sure[1], seen[0])
    assert len(forth) >= 24
    assert np.mean(forth) >= 0.95
    assert np.mean(back) >= 0.95


@pytest.mark.parametrize("engine", [IN_8_BITS, "openvino"])
def test_other_number_types_read_the_same_texts(exported: tuple[ModelFolder, ModelFolder], engine: OnnxEngine) -> None:
    crops = clean_plates(200, seed=72)
    torches, small = TorchReader.load(exported[1], "cpu", "fp32"), OnnxReader.load(exported[1], engine)
    same = [a.plate == b.plate for a, b in zip(torches.read(crops), small.read(crops), strict=True)]
    assert np.mean(same) >= 0.95


def test_the_cards_describe_the_files(exported: tuple[ModelFolder, ModelFolder]) -> None:
    for model in exported:
        for engine in ONNX_ENGINES:
            variant = find_variant(model, engine)
            assert sha256_of(variant.path.read_bytes()) == variant.sha256
            assert variant.cost is None, "without photographs nothing is said of accuracy"
        page = (model.path / "card.md").read_text(encoding="utf-8")
        assert page.count("## Other runtimes") == 1
        assert page.count("not measured") >= 2
        small, large = ((model.path / name).stat().st_size for name in ("model-int8.onnx", "model.onnx"))
        # reader-v7's linear layers, which stay in float32, are a larger part of it
        assert small < (0.4 if model is exported[0] else 0.41) * large


@pytest.mark.parametrize("kind", ["detector", "reader"])
def test_committed_exports_belong_to_the_committed_weights(kind: str) -> None:
    model = find_model(kind)  # type: ignore[arg-type]
    for engine in model.card.get("variants", {}):
        variant = find_variant(model, engine)
        assert sha256_of(variant.path.read_bytes()) == variant.sha256
        assert variant.cost is not None


def test_openvino_tells_nobody_that_it_is_used(exported: tuple[ModelFolder, ModelFolder]) -> None:
    program = (
        "import sys, numpy as np; from pathlib import Path; from vision.runtime_onnx import OnnxReader;"
        f"OnnxReader.load(Path({str(exported[1].path)!r}), 'openvino').read([np.zeros((48, 144, 3), np.uint8)]);"
        "assert 'openvino' in sys.modules; print(sorted(m for m in sys.modules if m.startswith('openvino_telemetry.')))"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    assert ran.stdout.strip() == "[]"


def test_networks_dropped_in_any_order_leave_a_process_that_survives_signals(
    exported: tuple[ModelFolder, ModelFolder],
) -> None:
    """OpenVINO's networks leave the thread that drops them a stack for signals that may be freed by then."""
    program = (
        "import os, signal, torch; from pathlib import Path; from vision.runtime_openvino import Session;"
        f"data = Path({str(exported[1].path / 'model.onnx')!r}).read_bytes();"
        "one, two = Session(data, 1), Session(data, 1);"
        "[(one(torch.zeros(1, 3, 48, 144)), two(torch.zeros(2, 3, 48, 144))) for _ in range(4)];"
        "assert one._fixed and two._fixed;"
        "del one; del two; signal.signal(signal.SIGUSR1, lambda *_: print('heard'));"
        "os.kill(os.getpid(), signal.SIGUSR1)"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=120)
    assert (ran.returncode, ran.stdout.strip()) == (0, "heard")


def test_where_openvino_is_missing_the_others_run(
    exported: tuple[ModelFolder, ModelFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ModelError, match="OpenVINO cannot run this network"):
        OnnxReader.load(exported[1], "openvino")
    choice = choose_engines(*exported, device="cpu")
    assert "openvino" not in choice.milliseconds["reader"]
    assert choice.milliseconds["reader"]["onnx"] > 0


def test_a_version_names_its_engine(exported: tuple[ModelFolder, ModelFolder], tmp_path: Path) -> None:
    names = [str(model.path) for model in exported]
    pipeline = PlatePipeline.load("cpu", detector=names[0], reader=names[1], engine="onnx-int8", cache=tmp_path)
    assert pipeline.model_version == "+".join(f"{model.version}-onnx-int8" for model in exported)
    assert pipeline.choice == Choice("onnx-int8", "onnx-int8", "set")
    plain = PlatePipeline.load("cpu", detector=names[0], reader=names[1], engine="torch")
    assert plain.model_version == "+".join(model.version for model in exported)
    assert not list(tmp_path.iterdir()), "nothing was measured, nothing is kept"


def _with(model: ModelFolder, tmp_path: Path, engine: OnnxEngine, **changes: object) -> ModelFolder:
    folder = tmp_path / model.path.name
    shutil.copytree(model.path, folder, dirs_exist_ok=True)
    card = json.loads((folder / "card.json").read_text())
    card["variants"][engine] |= changes
    (folder / "card.json").write_text(json.dumps(card))
    return read_folder(folder)


def test_a_variant_that_cannot_be_used_says_why(exported: tuple[ModelFolder, ModelFolder], tmp_path: Path) -> None:
    stale = _with(exported[0], tmp_path / "a", "onnx", weights="0" * 64)
    with pytest.raises(ModelError, match="other weights: run `platefleet export"):
        OnnxDetector.from_model(stale, "onnx")
    damaged = _with(exported[0], tmp_path / "b", "onnx", sha256="0" * 64)
    with pytest.raises(ModelError, match="sha256 differs"):
        OnnxDetector.from_model(damaged, "onnx")
    broken = _with(exported[1], tmp_path / "c", "onnx", cost="much")
    with pytest.raises(ModelError, match="does not describe"):
        OnnxReader.load(broken, "onnx")
    bare = ModelFolder("bare", tmp_path, {key: exported[0].card[key] for key in ("sha256", "weights")})
    with pytest.raises(ModelError, match="has no onnx-int8 variant"):
        choose_engines(bare, exported[1], "onnx-int8")


def test_a_variant_has_its_own_temperature(exported: tuple[ModelFolder, ModelFolder], tmp_path: Path) -> None:
    own = _with(exported[1], tmp_path, "onnx-int8", temperature=2.25)
    assert OnnxReader.load(own, "onnx-int8").temperature == 2.25
    assert OnnxReader.load(own, "onnx").temperature == own.card["temperature"]
    wrong = _with(exported[1], tmp_path, "onnx-int8", temperature="warm")
    with pytest.raises(ModelError, match="does not describe"):
        OnnxReader.load(wrong, "onnx-int8")


def test_the_temperature_rises_with_the_share_of_wrong_texts(exported: tuple[ModelFolder, ModelFolder]) -> None:
    reader, crops = OnnxReader.load(exported[1], "onnx"), clean_plates(40, seed=5)
    texts = [text.plate for text in reader.read(crops)]

    def fitted(wrong: int) -> dict[str, float]:
        truths = ["WRONG1" if k < wrong else text for k, text in enumerate(texts)]
        plates = [RealPlate(b"", np.zeros((4, 2), np.float32), t, "drawn", None, Path(), 0.0) for t in truths]
        return variants.calibrated(reader, ValSet(plates, np.stack(crops)))

    sure, doubtful = fitted(0), fitted(16)
    assert sure["temperature"] < doubtful["temperature"]
    assert sure["calibration_error"] < 0.1 < doubtful["calibration_error"]


def test_what_is_set_is_taken(exported: tuple[ModelFolder, ModelFolder]) -> None:
    assert choose_engines(*exported, "torch").detector == "torch"
    assert choose_engines(*exported, "onnx", device="cpu").reader == "onnx"
    assert choose_engines(*exported, "auto", device="cpu", precision="fp32") == Choice("torch", "torch", "for fp32")
    with pytest.raises(DeviceError, match="runs on the processor"):
        choose_engines(*exported, "onnx-int8", device="cuda")
    with pytest.raises(ModelError, match="unknown engine 'tensorrt'"):
        choose_engines(*exported, "tensorrt")


def test_8_bits_are_chosen_only_where_their_cost_is_known_and_small(
    exported: tuple[ModelFolder, ModelFolder], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "exact_in_8_bits", lambda: True)
    times = {"torch": 9.0, "onnx": 8.0, "onnx-int8": 3.0, "openvino": 8.5}
    monkeypatch.setattr(engines, "_milliseconds", lambda works: {engine: times[engine] for engine in works})

    def chosen(detector_cost: float | None, reader_cost: float | None) -> tuple[str, str]:
        finding = _with(exported[0], tmp_path, "onnx-int8", cost=detector_cost)
        reading = _with(exported[1], tmp_path, "onnx-int8", cost=reader_cost)
        choice = choose_engines(finding, reading, device="cpu")
        return choice.detector, choice.reader

    assert chosen(None, None) == ("onnx", "onnx")
    assert chosen(MOST_LOST, -0.4) == ("onnx-int8", "onnx-int8")
    assert chosen(MOST_LOST + 0.1, 0.0) == ("onnx", "onnx-int8")
    assert sorted(chosen(0.3, 0.3)) == ["onnx", "onnx-int8"], "together they would lose too much"
    monkeypatch.setattr(engines, "exact_in_8_bits", lambda: False)
    assert chosen(0.0, 0.0) == ("onnx", "onnx")


def test_a_race_is_run_once_and_again_for_other_models(
    exported: tuple[ModelFolder, ModelFolder], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    first = choose_engines(*exported, device="cpu", cache=cache)
    assert first.why == "measured"
    assert set(first.milliseconds) == {"detector", "reader"}
    assert all(value > 0 for found in first.milliseconds.values() for value in found.values())
    raced = []

    def count(*_: object) -> Choice:
        raced.append(1)
        return first

    monkeypatch.setattr(engines, "race", count)
    assert choose_engines(*exported, device="cpu", cache=cache) == first
    assert not raced
    choose_engines(*exported, device="cpu", threads=2, cache=cache)
    choose_engines(_with(exported[0], tmp_path, "onnx-int8", cost=0.0), exported[1], device="cpu", cache=cache)
    assert len(raced) == (2 if exact_in_8_bits() else 1)
    (cache / "engines.json").write_text("[broken")
    assert choose_engines(*exported, device="cpu", cache=cache) == first
    choose_engines(*exported, device="cpu", cache=tmp_path / "cache" / "engines.json" / "no folder")


def test_a_damaged_export_costs_speed_not_the_start(exported: tuple[ModelFolder, ModelFolder], tmp_path: Path) -> None:
    finding = _with(exported[0], tmp_path, "onnx")
    (finding.path / "model.onnx").write_bytes(b"half a file")
    cache = tmp_path / "cache"
    choice = choose_engines(finding, exported[1], device="cpu", cache=cache)
    assert choice.detector == "torch"
    assert set(choice.milliseconds["detector"]) == {"torch"}
    assert choice.why == "measured without onnx of detector, openvino of detector"
    assert not (cache / "engines.json").exists(), "whole again, it may be the quickest"


def test_an_export_damaged_after_the_race_costs_speed_not_the_start(
    exported: tuple[ModelFolder, ModelFolder], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = {"torch": 9.0, "onnx": 3.0, "openvino": 8.5, "onnx-int8": 8.0}
    monkeypatch.setattr(engines, "_milliseconds", lambda works: {engine: times[engine] for engine in works})
    finding, cache = _with(exported[0], tmp_path, "onnx"), tmp_path / "cache"
    names = {"detector": str(finding.path), "reader": str(exported[1].path)}

    def loaded() -> Choice:
        pipeline = PlatePipeline.load("cpu", **names, cache=cache)
        assert pipeline.choice is not None
        assert pipeline.read([np.zeros((64, 64, 3), np.uint8)]) == [[]]
        return pipeline.choice

    assert (loaded().detector, loaded().why) == ("onnx", "measured")
    whole = (finding.path / "model.onnx").read_bytes()
    (finding.path / "model.onnx").unlink()
    for _ in range(2):
        assert loaded().detector == "torch"
    (finding.path / "model.onnx").write_bytes(whole)
    assert loaded().detector == "onnx", "what was remembered holds again"
    (finding.path / "weights.pt").write_bytes(b"half a file")
    (finding.path / "model.onnx").unlink()
    with pytest.raises(ModelError, match=r"weights\.pt is not the file"):
        loaded()
