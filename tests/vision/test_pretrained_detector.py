"""A published text detector's ONNX file becomes our detector's body: its blocks exactly, its stem by a fit."""

import itertools
import warnings
from pathlib import Path

import onnx
import pytest
import torch
from torch import Tensor, nn

from vision import lcnet4
from vision.detector import Architecture, DetectorNet
from vision.lcnet4 import BLOCKS, STEEPER, STEM, WIDTHS
from vision.registry import WEIGHTS, load_state, read_folder
from vision.training.pretrained_detector import fit, named, read_body
from vision.training.published import PretrainedError


class _Gelu(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return STEEPER * nn.functional.gelu(x / STEEPER)


class _Stem(nn.Module):
    """As it is published: a branch of two small steps beside the greatest of the neighbours."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, STEM, 3, 2, 1)
        self.fewer, self.more = nn.Conv2d(STEM, STEM // 2, 2, padding=1), nn.Conv2d(STEM // 2, STEM, 2)
        self.greatest = nn.MaxPool2d(3, 1, 1)
        self.second, self.third = nn.Conv2d(2 * STEM, STEM, 3, 2, 1), nn.Conv2d(STEM, WIDTHS[0], 1)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x))
        branch = torch.relu(self.more(torch.relu(self.fewer(x))))
        x = torch.cat([self.greatest(x), branch], dim=1)
        return torch.relu(self.third(torch.relu(self.second(x))))


class _Published(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.ModuleList(lcnet4.stages())
        stem = self.stages[0]
        assert isinstance(stem, nn.Sequential)
        stem[0] = _Stem()
        for module in self.modules():
            if isinstance(module, lcnet4.Mix):
                module[1] = nn.GELU()

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        out = []
        for stage in self.stages:
            x = stage(x)
            out.append(x)
        return tuple(out)


def _file(network: nn.Module, folder: Path) -> bytes:
    path = folder / "published.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (torch.zeros(1, 3, 64, 96),),
            path,
            dynamo=False,
            opset_version=17,
            input_names=["x"],
            dynamic_axes={"x": {0: "batch"}},
        )
    return path.read_bytes()


def test_a_published_detector_is_taken_over_exactly_but_for_stem_and_bend(tmp_path: Path) -> None:
    torch.manual_seed(5)
    published = _Published().eval()
    body, given = read_body(_file(published, tmp_path))
    assert len(given) == len(BLOCKS)
    for module in body.modules():
        if isinstance(module, lcnet4.Mix):
            module[1] = _Gelu()
    x = torch.randn(2, WIDTHS[0], 16, 24)
    with torch.no_grad():
        for number, stage in enumerate(body.values()):
            theirs = published.stages[number]
            assert isinstance(stage, nn.Sequential)
            assert isinstance(theirs, nn.Sequential)
            begin = 1 if number == 0 else 0  # behind the stem
            torch.testing.assert_close(stage[begin:](x), theirs[begin:](x), rtol=1e-4, atol=1e-5)
            x = theirs[begin:](x)


def test_the_fit_brings_the_stages_near_to_the_published_ones(tmp_path: Path) -> None:
    torch.manual_seed(6)
    published = _Published().eval()
    data = _file(published, tmp_path)
    pictures = itertools.repeat(torch.randn(2, 3, 64, 96))
    first = fit(*_read(data), pictures, steps=1)
    later = fit(*_read(data), pictures, steps=60)
    assert len(first) == len(later) == len(BLOCKS)
    assert all(b < 0.6 * a for a, b in zip(first, later, strict=True)), (first, later)


def _read(data: bytes) -> tuple[nn.ModuleDict, bytes, list[str]]:
    body, given = read_body(data)
    return body, data, given


def test_another_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PretrainedError, match="operation 1 is Sigmoid, not Relu"):
        read_body(_file(nn.Sequential(nn.Conv2d(3, STEM, 3, 2, 1), nn.Sigmoid()), tmp_path))


def test_the_file_of_the_right_kind_but_another_width_is_refused(tmp_path: Path) -> None:
    model = onnx.load_model_from_string(_file(nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU()), tmp_path))
    with pytest.raises(PretrainedError, match=r"a convolution is \(8, 3, 3, 3\)"):
        read_body(model.SerializeToString())


def test_the_committed_body_is_a_detectors_and_says_whose_it_is() -> None:
    model = read_folder(WEIGHTS / "body-ppocrv6-det")
    assert model.card["licence"] == "Apache-2.0"
    assert "PP-OCRv6" in model.card["from"]
    own = DetectorNet(Architecture(body="lcnet4")).state_dict()
    state = load_state(model)
    assert set(state) == set(named(lcnet4.stages()).state_dict())
    assert all(own[name].shape == weights.shape for name, weights in state.items())
