"""OpenVINO behind an ONNX file: the file's bytes in, a function from pictures or crops to the network's outputs out.

It computes in bf16 where the processor has units for that, else in float32, and needs no 8-bit file: on a processor
with AMX it is quicker in bf16 than ONNX Runtime in 8 bits.

Its Python package tells its maker of every import. Here nobody is told anything: the module that would is kept out.
"""

import importlib.metadata
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Floats = NDArray[np.float32]

_OFTEN = 3
"""So many batches of one shape are worth a network of their own: a tenth of a second to make (measured)."""
_SHAPES, _BATCH = 8, 16
"""Most networks for one shape, and the largest batch of one: they take 15 to 40 MB each, and are never dropped."""


class Session:
    """One network, compiled; a batch of any size and shape that the file allows is run by calling it."""

    def __init__(self, data: bytes, threads: int, evening_out: bool = False) -> None:
        """Raises ImportError where OpenVINO is not there, and RuntimeError for bytes that it cannot use.

        `evening_out` is for `evened`: the network then takes bytes, and evens them out itself.
        """
        self._make = partial(_made, data, threads, evening_out)
        self.precision, self._any = self._make(())
        self._fixed: dict[tuple[int, ...], Any] = {}
        self._seen: Counter[tuple[int, ...]] = Counter()

    def __call__(self, batch: Tensor) -> list[Floats]:
        """B x 3 x H x W float32, channels last in memory, to the outputs in the file's order."""
        pixels = np.ascontiguousarray(batch.permute(0, 2, 3, 1).numpy())
        return _infer(self._for(pixels.shape), pixels)

    def evened(self, pixels: NDArray[np.uint8], mean: Floats, gain: Floats) -> list[Floats]:
        """The same of (pixels - mean) * gain: one pass over a picture's bytes, in the network's own number type.

        Args:
            pixels: B x H x W x 3.
            mean: B x 1 x W x 3.
            gain: B x H x 1.
        """
        shape = (len(pixels), pixels.shape[1], pixels[0, 0].size)
        return _infer(self._for(shape), pixels.reshape(shape), mean.reshape(len(mean), 1, -1), gain)

    def _for(self, shape: tuple[int, ...]) -> Any:
        """The network for inputs of one shape: where it comes often, one made for it alone, which is far quicker."""
        if shape not in self._fixed and len(self._fixed) < _SHAPES and shape[0] <= _BATCH:
            self._seen[shape] += 1
            if self._seen[shape] >= _OFTEN:
                self._fixed[shape] = self._make(shape)[1]
        return self._fixed.get(shape, self._any)


def _infer(request: Any, *inputs: NDArray[Any]) -> list[Floats]:
    found = request.infer(dict(enumerate(inputs)), share_inputs=True)
    return [found[output] for output in request.model_outputs]


def _made(data: bytes, threads: int, evening_out: bool, shape: tuple[int, ...]) -> tuple[str, Any]:
    """The number type, and the network ready to run on inputs of any shape or, where one is given, of that one."""
    # Compiling gives the thread a stack for signals, and dropping the network puts back the one from before, which
    # another network may have taken along: the next signal would end the process. A new thread has none before.
    with ThreadPoolExecutor(1) as thread:
        precision, compiled = thread.submit(_compile, data, threads, evening_out, shape).result()
    return precision, compiled.create_infer_request()


def _compile(data: bytes, threads: int, evening_out: bool, shape: tuple[int, ...]) -> tuple[str, Any]:
    """The number type and the network."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    from openvino import Core

    core = Core()
    precision = "bf16" if "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES") else "f32"
    settings = {
        "INFERENCE_PRECISION_HINT": precision,
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        # several readers on one machine would all be bound to the same core
        "ENABLE_CPU_PINNING": False,
    }
    model = core.read_model(data)
    if evening_out:
        _even_out(model)
    if shape and evening_out:
        batch, height, row = shape
        model.reshape(dict(enumerate([[batch, height, row], [batch, 1, row], [batch, height, 1]])))
    elif shape:
        model.reshape(list(shape))
    return precision, core.compile_model(model, "CPU", settings)


def _even_out(model: Any) -> None:
    """Put (pixels - mean) * gain before the network, as `Session.evened` calls it.

    A row's pixels and channels are one axis there: over a last axis of three numbers these steps take longer than the
    network (measured).
    """
    from openvino import PartialShape, opset13

    old = model.get_parameters()[0]
    pixels = opset13.parameter(PartialShape([-1, -1, -1]), np.uint8)
    mean = opset13.parameter(PartialShape([-1, 1, -1]), np.float32)
    gain = opset13.parameter(PartialShape([-1, -1, 1]), np.float32)
    even = opset13.multiply(opset13.subtract(opset13.convert(pixels, "f32"), mean), gain)
    pictures = opset13.reshape(even, opset13.constant(np.array([0, 0, -1, 3], np.int64)), special_zero=True)
    for reads in list(old.output(0).get_target_inputs()):
        reads.replace_source_output(pictures.output(0))
    model.remove_parameter(old)
    model.add_parameters([pixels, mean, gain])
    model.validate_nodes_and_infer_types()


def version() -> str:
    """The installed version; empty where there is none. Imports nothing."""
    try:
        return importlib.metadata.version("openvino")
    except importlib.metadata.PackageNotFoundError:
        return ""
