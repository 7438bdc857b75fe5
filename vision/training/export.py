"""Networks to ONNX files: a model folder in, `model.onnx` (float32) and `model-int8.onnx` out, as bytes.

The 8-bit file is quantised statically: the range of every activation is measured on real pictures of `train` (on
invented ones where the photographs are not there), weights are scaled per channel. ONNX itself is imported here alone;
reading such a file needs only ONNX Runtime.
"""

import logging
import tempfile
import warnings
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import Tensor, nn

from vision import detector, reader
from vision.detector import ALIGN, fuse
from vision.reader import CROP_SIZE, fold_norms
from vision.registry import ModelFolder
from vision.runtime_onnx import DETECTOR_OUTPUTS, INPUT, READER_OUTPUTS

OPSET = 17
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a network is quantised."""

    percentile: float | None = None
    """Share of an activation's values, in percent, that its 8 bits span; None: all of them."""
    float_parts: tuple[str, ...] = ()
    """Parts of the network, by the beginnings of their names, that stay in float32."""
    operators: tuple[str, ...] = ()
    """ONNX operators that are quantised; empty: all that can be."""


class _ChannelsLast(nn.Module):
    """A network behind an input of B x H x W x 3, with a tuple for its output."""

    def __init__(self, network: nn.Module, outputs: tuple[str, ...]) -> None:
        super().__init__()
        self.network = network
        self._outputs = outputs

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        out = self.network(pixels.permute(0, 3, 1, 2))
        return out if isinstance(out, tuple) else tuple(getattr(out, name) for name in self._outputs)


def export_detector(model: ModelFolder) -> bytes:
    """The detector in float32; batch, height and width are free."""
    axes = {0: "batch", 1: "height", 2: "width"}
    free = {
        INPUT: axes,
        "heat": {0: "batch", 1: "rows", 2: "columns"},
        "geometry": {0: "batch", 2: "rows", 3: "columns"},
    }
    network = fuse(detector.network_of(model).eval())
    return _export(network, torch.zeros(1, 4 * ALIGN, 6 * ALIGN, 3), DETECTOR_OUTPUTS, free)


def export_reader(model: ModelFolder) -> bytes:
    """The reader in float32; the batch is free."""
    network = reader.network_of(model)
    fold_norms(network.eval())
    free = {name: {0: "batch"} for name in (INPUT, *READER_OUTPUTS)}
    return _export(network, torch.zeros(2, *CROP_SIZE, 3), READER_OUTPUTS, free)


def _export(network: nn.Module, example: Tensor, outputs: tuple[str, ...], free: dict[str, dict[int, str]]) -> bytes:
    with tempfile.TemporaryDirectory() as folder, torch.no_grad(), warnings.catch_warnings():
        file = Path(folder) / "plain.onnx"
        # the older exporter writes free axes without onnxscript; that it is the older one is all it warns of
        warnings.simplefilter("ignore")
        torch.onnx.export(
            _ChannelsLast(network, outputs).eval(),
            (example,),
            file,
            dynamo=False,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=list(outputs),
            dynamic_axes=free,
        )
        return file.read_bytes()


class _Examples(CalibrationDataReader):
    """Inputs of the network one by one; `quantize_static` asks for a range at a time, so that memory stays bounded."""

    def __init__(self, examples: Sequence[Floats]) -> None:
        self._examples = examples
        self._next, self._end = 0, len(examples)

    def __len__(self) -> int:
        return len(self._examples)

    def set_range(self, start_index: int, end_index: int) -> None:
        self._next, self._end = start_index, end_index

    def get_next(self) -> dict[str, Floats] | None:
        if self._next >= self._end:
            return None
        self._next += 1
        return {INPUT: self._examples[self._next - 1]}


def quantise(network: bytes, examples: Sequence[Floats], recipe: Recipe) -> bytes:
    """A float32 file's bytes and inputs, each B x H x W x 3, to the file in 8 bits."""
    import onnx

    with tempfile.TemporaryDirectory() as folder, _silence():
        plain, prepared, small = (Path(folder) / name for name in ("plain.onnx", "prepared.onnx", "small.onnx"))
        plain.write_bytes(network)
        # shapes are free: only the symbolic kind of inference, which needs them fixed, is left out
        quant_pre_process(plain, prepared, skip_symbolic_shape=True)
        names = [node.name for node in onnx.load(prepared).graph.node]
        kept = [name for name in names if name.removeprefix("/network/").startswith(recipe.float_parts)]
        options: dict[str, object] = {"CalibStridedMinMax": 1}
        if recipe.percentile is not None:
            options |= {"CalibPercentile": recipe.percentile, "CalibTensorRangeSymmetric": False}
        quantize_static(
            prepared,
            small,
            _Examples(examples),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(recipe.operators) or None,
            nodes_to_exclude=kept if recipe.float_parts else [],
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax if recipe.percentile is None else CalibrationMethod.Percentile,
            extra_options=options,
        )
        return small.read_bytes()


class _silence:
    """The quantiser prints its histograms and advises on what was decided here."""

    def __enter__(self) -> None:
        self._to = redirect_stdout(StringIO())
        self._to.__enter__()
        logging.disable(logging.WARNING)

    def __exit__(self, *_: object) -> None:
        logging.disable(logging.NOTSET)
        self._to.__exit__(None, None, None)
