"""What a published text reader has learnt, as a start for ours: its ONNX file in, the weights of `vision.lcnet` out.

PP-OCRv4's mobile recogniser (PaddleOCR, Apache-2.0) comes as an ONNX file in the wheel rapidocr-onnxruntime 1.4.4. Its
body alone is taken, to the last digit; what it says about Chinese and other texts is left.
`vision/weights/body-ppocrv4` was made by

    pip download --no-deps rapidocr-onnxruntime==1.4.4 && unzip -j rapidocr_onnxruntime-1.4.4-*.whl '*v4_rec_infer.onnx'
    python -m vision.training.pretrained_reader ch_PP-OCRv4_rec_infer.onnx vision/weights/body-ppocrv4

Errors: `PretrainedError` for a file that is not of this design.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

from vision.lcnet import Apart, Squeeze, body
from vision.training.published import PretrainedError, Published, put, put_weighed, write_body

CONTRAST = 0.45
"""Deviation of the texts that it learnt from, in its units of half a byte's range; our crops come with one of 1."""
TOLD = {
    "from": "PP-OCRv4 mobile recogniser, ch_PP-OCRv4_rec_infer.onnx of the wheel rapidocr-onnxruntime 1.4.4",
    "changed": "the body alone; norms and learnt scales folded into convolutions; the stem expects evened light",
}
_HARD_SWISH = ["Add", "Clip", "Mul", "Div"]


def read_body(data: bytes) -> nn.Sequential:
    """The bytes of the ONNX file to `vision.lcnet.body()` with its weights; raises `PretrainedError`.

    The learnt factors and summands around each convolution go into it and into the one that follows. A crop whose light
    is evened (`vision.light`) is what the result expects.
    """
    network, made = Published(data), body()
    stem = made[0]
    assert isinstance(stem, nn.Conv2d)
    (weights,) = network.take("Conv")
    gain, offset, mean, variance = network.take("BatchNormalization")
    gain = gain / np.sqrt(variance + 1e-5)
    put(stem, CONTRAST * weights * gain[:, None, None, None], offset - mean * gain)
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


def _convolution(network: Published, into: nn.Conv2d, factor: float, summand: float) -> tuple[float, float]:
    """The next convolution, after values that want a factor and a summand yet; returns those of what it gives."""
    weights, bias = network.take("Conv")
    bias = bias + summand * weights.sum(axis=(1, 2, 3))
    scale, shift = network.scalars()
    put(into, weights * factor * scale, bias * scale + shift)
    if not network.next_is(*_HARD_SWISH):
        raise PretrainedError("a convolution is not followed by a hard swish")
    for kind in _HARD_SWISH:
        network.take(kind)
    return network.scalars()


def _squeeze(network: Published, into: Squeeze, factor: float, summand: float) -> None:
    put_weighed(into, network, "GlobalAveragePool")
    with torch.no_grad():
        into.scale.fill_(factor)
        into.shift.fill_(summand)


if __name__ == "__main__":
    published = Path(sys.argv[1]).read_bytes()
    write_body(read_body(published), published, Path(sys.argv[2]), TOLD)
