"""The committed reader on plates it has never seen, the honesty of its model folder, and one way to prepare crops."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from vision.plates import random_plate, render_plate
from vision.reader import (
    CROP_SIZE,
    SURE,
    VIEWS,
    ReaderArchitecture,
    ReaderNet,
    TorchReader,
    fold_norms,
    other_views,
    prepare,
)
from vision.rectify import box_corners, rectify
from vision.registry import ModelError, find_model
from vision.training import reader_data, train_reader
from vision.training.data import DEFAULT_ROOT
from vision.training.evaluate_reader import exact_by_source, load_val
from vision.training.reader_data import real_crop


@pytest.fixture(scope="module")
def reader() -> TorchReader:
    return TorchReader.load(find_model("reader"), device="cpu", precision="fp32", threads=1)


def _clean_plates(count: int, seed: int) -> tuple[list[np.ndarray], list[str]]:
    rng = np.random.default_rng(seed)
    crops, texts = [], []
    for _ in range(count):
        spec = random_plate(rng)
        picture = render_plate(spec, 96)
        crops.append(rectify(picture, box_corners(0, 0, picture.shape[1], picture.shape[0]), CROP_SIZE, margin=0.0))
        texts.append(spec.text)
    return crops, texts


def test_it_reads_clean_invented_plates(reader: TorchReader) -> None:
    crops, texts = _clean_plates(60, seed=20_261)
    reads = reader.read(crops)
    assert sum(read.plate == text for read, text in zip(reads, texts, strict=True)) >= 54
    for read in reads:
        assert read.candidates[0] == (read.plate, read.confidence)
        assert len(read.char_probs) == len(read.plate)
        assert 0 <= read.confidence <= 1
        assert 0 <= read.region_confidence <= 1
        assert 0 <= read.legibility <= 1


def test_it_reads_two_rows_in_reading_order(reader: TorchReader) -> None:
    rng = np.random.default_rng(11)
    specs = [spec for spec in (random_plate(rng, kind="motorcycle") for _ in range(120)) if spec.rows == 2][:30]
    pictures = [render_plate(spec, 96) for spec in specs]
    crops = [rectify(p, box_corners(0, 0, p.shape[1], p.shape[0]), CROP_SIZE, margin=0.0) for p in pictures]
    right = [read.plate == spec.text for read, spec in zip(reader.read(crops), specs, strict=True)]
    assert np.mean(right) >= 0.75


def test_a_batch_reads_as_one_by_one(reader: TorchReader) -> None:
    crops, _ = _clean_plates(9, seed=4)
    together = [read.plate for read in reader.read(crops)]
    assert together == [reader.read([crop])[0].plate for crop in crops]
    assert reader.read([]) == []


def test_other_views_keep_the_middle_and_move_the_rest() -> None:
    crop = np.zeros((*CROP_SIZE, 3), np.uint8)
    crop[22:26, 70:74] = 255
    crop[4:8, 10:14] = 255
    views = other_views(crop)
    assert len(views) == len(VIEWS)
    for view in views:
        assert view.shape == crop.shape
        assert view[23:25, 71:73].min() > 150
        assert not np.array_equal(view, crop)


def test_doubtful_plates_are_read_from_several_views(reader: TorchReader) -> None:
    crops, _ = _clean_plates(30, seed=8)
    crops = [cv2.GaussianBlur(crop, (0, 0), 2.6) for crop in crops]
    logits, odds, _ = reader.look(crops)
    looked_again = 0
    for k, read in enumerate(reader.read(crops)):
        plain = reader._decode(logits[k], odds[k])
        if plain.confidence >= SURE:
            assert (read.plate, read.confidence) == (plain.text, pytest.approx(plain.confidence, abs=1e-4))
            continue
        looked_again += 1
        more, more_odds, _ = reader.look(other_views(crops[k]))
        together = np.concatenate([logits[k][None], more])
        found = reader._decode(together, np.concatenate([odds[k][None], more_odds]).mean(axis=0))
        assert read.plate == found.text
        assert read.confidence == pytest.approx(found.confidence, abs=1e-3)
    assert looked_again > 3
    once = reader.read(crops, [False] * len(crops))
    assert [read.plate for read in once] == [reader._decode(logits[k], odds[k]).text for k in range(len(crops))]


def test_half_precision_reads_the_same(reader: TorchReader) -> None:
    half = TorchReader.load(find_model("reader"), device="cpu", precision="bf16")
    crops, _ = _clean_plates(24, seed=5)
    same = [a.plate == b.plate for a, b in zip(reader.read(crops), half.read(crops), strict=True)]
    assert np.mean(same) >= 0.9


def test_blank_crops_give_no_confident_text(reader: TorchReader) -> None:
    flat = np.full((*CROP_SIZE, 3), 128, np.uint8)
    noise = np.random.default_rng(0).integers(0, 255, (*CROP_SIZE, 3), dtype=np.uint8)
    for read in reader.read([flat, noise]):
        assert not read.plate or read.confidence < 0.5


def test_a_crop_of_the_wrong_size_is_refused(reader: TorchReader) -> None:
    with pytest.raises(ValueError, match="rectify it first"):
        reader.read([np.zeros((10, 20, 3), np.uint8)])


@pytest.mark.data
def test_it_reads_real_validation_plates(reader: TorchReader) -> None:
    if not DEFAULT_ROOT.exists():
        pytest.skip("the data pack does not lie beside this checkout (../shared/data)")
    plates = [p for k, p in enumerate(load_val().plates) if k % 3 == 0]
    reads = reader.read([real_crop(p, CROP_SIZE) for p in plates])
    shares = exact_by_source([p.source for p in plates], [r.plate for r in reads], [p.text for p in plates])
    assert shares["all"] >= 0.84


def test_the_card_states_what_the_weights_are(tmp_path: Path) -> None:
    model = find_model("reader")
    assert {"sources", "splits", "steps", "val", "seed", "commit", "temperature", "architecture"} <= set(model.card)
    assert model.card["bytes"] < 16_000_000
    assert model.card["sha256"] in (model.path / "card.md").read_text()
    copy = Path(shutil.copytree(model.path, tmp_path / "reader-broken"))
    weights = copy / model.card["weights"]
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(ModelError, match="sha256"):
        TorchReader.load(copy)
    card = json.loads((copy / "card.json").read_text()) | {"sha256": "0" * 64}
    (copy / "card.json").write_text(json.dumps(card))
    with pytest.raises(ModelError, match="sha256"):
        TorchReader.load(copy)


def test_folded_norms_change_nothing() -> None:
    torch.manual_seed(0)
    network = ReaderNet(ReaderArchitecture((8, 8, 16, 16), 32, ("DE",)))
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_()  # type: ignore[union-attr, operator]
            module.running_var.uniform_(0.5, 2)  # type: ignore[union-attr, operator]
    crops = torch.randn(2, 3, *CROP_SIZE)
    with torch.inference_mode():
        before = network.eval()(crops).logits
        fold_norms(network)
        after = network(crops).logits
    assert torch.allclose(before, after, atol=1e-4)


def test_training_and_production_prepare_crops_by_the_same_function() -> None:
    crops, _ = _clean_plates(3, seed=1)
    prepared = prepare(crops)
    assert prepared.shape == (3, 3, *CROP_SIZE)
    assert torch.equal(prepared, train_reader.prepare_batch(torch.from_numpy(np.stack(crops))))
    assert reader_data.rectify is rectify
