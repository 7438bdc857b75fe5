"""Networks without their least channels: the same where what goes does nothing, smaller, and usable as any other."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from vision.detector import DetectorNet, TorchDetector
from vision.reader import CROP_SIZE, ReaderNet, TorchReader
from vision.registry import Kind, ModelError, find_model, read_folder
from vision.training.pruning import blocks_of, prune, slim

PLAIN: dict[Kind, str] = {"detector": "detector-v4", "reader": "reader-v6"}
"""Models that have residual blocks."""


@pytest.mark.parametrize("network", [ReaderNet(), DetectorNet()], ids=["reader", "detector"])
def test_channels_that_do_nothing_go_first_and_are_not_missed(network: torch.nn.Module) -> None:
    network.eval()
    blocks = blocks_of(network)
    assert len(blocks) == 4
    for made, norm, _ in blocks:
        idle = torch.randperm(made.out_channels)[: made.out_channels // 2]
        norm.weight.data[idle] = 0.0
        norm.bias.data[idle] = 0.0
    pixels = torch.randn(2, 3, *CROP_SIZE) if isinstance(network, ReaderNet) else torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        before = network(pixels)
        widths = [made.out_channels for made, _, _ in blocks]
        left = slim(blocks, 0.4)
        after = network(pixels)
    assert all(n % 8 == 0 and n < width for n, width in zip(left, widths, strict=True))
    first, second = (before.logits, after.logits) if isinstance(network, ReaderNet) else (before[0], after[0])
    assert torch.allclose(first, second, atol=1e-4)


@pytest.mark.parametrize("kind", ["reader", "detector"])
def test_a_pruned_folder_is_a_model_like_any_other(kind: Kind, tmp_path: Path) -> None:
    whole = find_model(kind, PLAIN[kind])
    parameters = prune(whole, kind, 0.25, tmp_path / f"{kind}-small")
    model = read_folder(tmp_path / f"{kind}-small")
    assert model.card["pruned"] == {"from": whole.version, "share": 0.25}
    assert parameters < whole.card.get("parameters", 689_949)
    assert "variants" not in model.card
    if kind == "reader":
        texts = TorchReader.load(model, "cpu", "fp32").read([np.full((*CROP_SIZE, 3), 128, np.uint8)])
        assert len(texts) == 1
    else:
        found = TorchDetector.from_model(model, "cpu", "fp32").detect([np.zeros((90, 160, 3), np.uint8)])
        assert found == [[]]


def test_a_body_without_such_blocks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="reader-v7 has no blocks"):
        prune(find_model("reader", "reader-v7"), "reader", 0.25, tmp_path / "small")
    assert not (tmp_path / "small").exists()


def test_nothing_pruned_is_the_same_network(tmp_path: Path) -> None:
    whole = find_model("reader", PLAIN["reader"])
    prune(whole, "reader", 0.0, tmp_path / "same")
    crops = [np.random.default_rng(3).integers(0, 255, (*CROP_SIZE, 3)).astype(np.uint8)]
    models = (whole, read_folder(tmp_path / "same"))
    one, other = (TorchReader.load(model, "cpu", "fp32").read(crops)[0] for model in models)
    assert (one.plate, one.region) == (other.plate, other.region)
    assert one.confidence == pytest.approx(other.confidence, abs=1e-3)
    assert json.loads((tmp_path / "same" / "card.json").read_text())["pruned"]["share"] == 0.0


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_a_share_outside_its_range_is_refused(share: float, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="share to prune"):
        prune(find_model("reader"), "reader", share, tmp_path / "none")
