"""Networks recorded and replayed: on a GPU a small network is limited by the launching of its kernels, not by them.

A CUDA graph holds all kernels of one call and starts them as one. It knows one input shape, so batches are filled up to
a power of two and the graphs of the latest shapes are kept. Where recording fails, the network is called plainly.
"""

import dataclasses
import logging
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

log = logging.getLogger(__name__)

Network = Callable[[Tensor], Any]
"""B x ... to a tuple or a dataclass of tensors whose first axis is B."""
_SHAPES = 12
_WARM_UP = 3


@dataclasses.dataclass(frozen=True, slots=True)
class Recorded:
    """One recorded call: `replay` turns what lies in `entry` into what then lies in `outcome`."""

    entry: Tensor
    replay: Callable[[], object]
    outcome: Any


class Replayed:
    """A network that is recorded at the first batch of a shape and replayed from then on; not for several threads.

    What a call returns is overwritten by the next call of the same shape.
    """

    def __init__(
        self, network: Network, record: Callable[[Network, Tensor], Recorded] | None = None, shapes: int = _SHAPES
    ) -> None:
        self._network, self._record, self._shapes = network, record or record_on_gpu, shapes
        self._known: OrderedDict[tuple[int, ...], Recorded | None] = OrderedDict()

    def __call__(self, batch: Tensor) -> Any:
        rows = len(batch)
        shape = (1 << (rows - 1).bit_length(), *batch.shape[1:])
        if shape not in self._known:
            self._known[shape] = self._recorded(batch, shape)
            if len(self._known) > self._shapes:
                self._known.popitem(last=False)
        self._known.move_to_end(shape)
        recorded = self._known[shape]
        if recorded is None:
            return self._network(batch)
        recorded.entry[:rows].copy_(batch)
        recorded.replay()
        return _first(recorded.outcome, rows)

    def _recorded(self, batch: Tensor, shape: tuple[int, ...]) -> Recorded | None:
        full = torch.zeros(shape, dtype=batch.dtype, device=batch.device)
        if batch.ndim == 4:
            full = full.contiguous(memory_format=torch.channels_last)
        try:
            return self._record(self._network, full)
        except RuntimeError as error:
            log.warning("no graph for batches of %s: %s", shape, str(error).partition("\n")[0])
            return None


def record_on_gpu(network: Network, entry: Tensor) -> Recorded:
    """Record a CUDA graph; raises RuntimeError where that is not to be had."""
    if not entry.is_cuda:
        raise RuntimeError(f"graphs are recorded on a GPU, not on {entry.device}")
    # what is prepared at first calls (libraries, algorithms) must not be recorded
    aside = torch.cuda.Stream(entry.device)
    aside.wait_stream(torch.cuda.current_stream(entry.device))
    with torch.cuda.stream(aside):
        for _ in range(_WARM_UP):
            network(entry)
    torch.cuda.current_stream(entry.device).wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    # other threads (decoding, uploads) may go on meanwhile
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        outcome = network(entry)
    return Recorded(entry, graph.replay, outcome)


def _first(outcome: Any, rows: int) -> Any:
    """The same tuple or dataclass with the first rows of its tensors."""
    if isinstance(outcome, tuple):
        return tuple(part[:rows] for part in outcome)
    names = [field.name for field in dataclasses.fields(outcome)]
    return dataclasses.replace(outcome, **{name: getattr(outcome, name)[:rows] for name in names})
