"""The reader between two readers."""

from pathlib import Path

import numpy as np
import pytest
import torch

from vision.reader import CROP_SIZE, ReaderNet, TorchReader
from vision.registry import find_model, read_folder
from vision.training.averaging import AveragingError, average, between
from vision.training.pruning import prune


def test_all_of_one_is_that_one_and_half_lies_between() -> None:
    one, other = ReaderNet(), ReaderNet()
    for share in (0.0, 0.5, 1.0):
        found = between(one, other, share).state_dict()
        for name, tensor in one.state_dict().items():
            if tensor.is_floating_point():
                wanted = (1 - share) * tensor + share * other.state_dict()[name]
                assert torch.allclose(found[name], wanted, atol=1e-6), name


def test_an_average_is_a_model_like_any_other_and_says_of_what(tmp_path: Path) -> None:
    first, second = find_model("reader", "reader-v2"), find_model("reader", "reader-v3")
    assert average(first, second, 0.25, tmp_path / "mean", None) == first.card["temperature"]
    model = read_folder(tmp_path / "mean")
    assert model.card["averaged"] == {"of": [first.version, second.version], "share": 0.25}
    assert model.card["config"] == second.card["config"]
    assert "25 %" in (tmp_path / "mean" / "card.md").read_text("utf-8")
    crop = np.random.default_rng(3).integers(0, 255, (*CROP_SIZE, 3)).astype(np.uint8)
    assert len(TorchReader.load(model, "cpu", "fp32").read([crop])) == 1


def test_two_architectures_have_no_mean(tmp_path: Path) -> None:
    whole = find_model("reader", "reader-v3")
    prune(whole, "reader", 0.25, tmp_path / "small")
    with pytest.raises(AveragingError, match="two architectures"):
        average(whole, read_folder(tmp_path / "small"), 0.5, tmp_path / "mean", None)
