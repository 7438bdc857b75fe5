"""OpenVINO behind an ONNX file: the file's bytes in, a function from pictures or crops to the network's outputs out.

It computes in bf16 where the processor has units for that, else in float32, and needs no 8-bit file: on a processor
with AMX it is quicker in bf16 than ONNX Runtime in 8 bits.

Its Python package tells its maker of every import. Here nobody is told anything: the module that would is kept out.
"""

import importlib.metadata
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Floats = NDArray[np.float32]


class Session:
    """One network, compiled; a batch of any size and shape that the file allows is run by calling it."""

    def __init__(self, data: bytes, threads: int) -> None:
        """Raises ImportError where OpenVINO is not there, and RuntimeError for bytes that it cannot use."""
        # Compiling gives the thread a stack for signals, and dropping the network puts back the one from before, which
        # another network may have taken along: the next signal would end the process. A new thread has none before.
        with ThreadPoolExecutor(1) as thread:
            self.precision, compiled = thread.submit(_compile, data, threads).result()
        self._request: Any = compiled.create_infer_request()
        self._outputs: list[Any] = list(compiled.outputs)

    def __call__(self, batch: Tensor) -> list[Floats]:
        """B x 3 x H x W float32, channels last in memory, to the outputs in the file's order."""
        pixels = np.ascontiguousarray(batch.permute(0, 2, 3, 1).numpy())
        found = self._request.infer({0: pixels}, share_inputs=True)
        return [found[output] for output in self._outputs]


def _compile(data: bytes, threads: int) -> tuple[str, Any]:
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
    return precision, core.compile_model(core.read_model(data), "CPU", settings)


def version() -> str:
    """The installed version; empty where there is none. Imports nothing."""
    try:
        return importlib.metadata.version("openvino")
    except importlib.metadata.PackageNotFoundError:
        return ""
