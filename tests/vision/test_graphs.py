"""Recorded networks: what a replay gives, how shapes are kept, and that a failed recording costs speed alone."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from vision.engines import Race, race
from vision.graphs import Recorded, Replayed, record_on_gpu
from vision.reader import CROP_SIZE, ReaderOutput
from vision.registry import find_model


class Recorder:
    """Records as a GPU does: a fixed entry and a fixed outcome, overwritten by each replay."""

    def __init__(self, refuse: int | None = None) -> None:
        self.shapes: list[tuple[int, ...]] = []
        self._refuse = refuse

    def __call__(self, network: Callable[[Tensor], Any], entry: Tensor) -> Recorded:
        self.shapes.append(tuple(entry.shape))
        if len(entry) == self._refuse:
            raise RuntimeError("operation not permitted when stream is capturing\nand more")
        outcome = network(entry)

        def replay() -> None:
            fresh = network(entry)
            for kept, now in zip(_parts(outcome), _parts(fresh), strict=True):
                kept.copy_(now)

        return Recorded(entry, replay, outcome)


def _parts(outcome: Any) -> tuple[Tensor, ...]:
    return outcome if isinstance(outcome, tuple) else (outcome.logits, outcome.region, outcome.legible)


def doubled(batch: Tensor) -> tuple[Tensor, Tensor]:
    return batch * 2, batch.flatten(1).sum(dim=1)


def as_reader(batch: Tensor) -> ReaderOutput:
    return ReaderOutput(batch.flatten(1), batch[:, 0, 0], batch[:, 0, 0, 0])


def test_a_replay_gives_what_the_network_gives_for_every_size_of_batch() -> None:
    recorder = Recorder()
    network = Replayed(doubled, recorder)
    for rows in (3, 1, 4, 2, 7, 3, 8, 5):
        batch = torch.randn(rows, 3, 4, 6)
        for one, two in zip(network(batch), doubled(batch), strict=True):
            assert torch.equal(one, two)
    assert [shape[0] for shape in recorder.shapes] == [4, 1, 2, 8], "batches are filled up to powers of two"
    batch = torch.randn(3, 3, 4, 6)
    assert torch.equal(Replayed(as_reader, recorder)(batch).logits, as_reader(batch).logits)


def test_only_the_latest_shapes_are_kept() -> None:
    recorder = Recorder()
    network = Replayed(doubled, recorder, shapes=2)
    for width in (1, 2, 1, 3, 1, 2):
        network(torch.ones(1, 3, 1, width))
    assert [shape[3] for shape in recorder.shapes] == [1, 2, 3, 2]


def test_what_cannot_be_recorded_is_called_plainly_and_tried_once(caplog: pytest.LogCaptureFixture) -> None:
    recorder = Recorder(refuse=2)
    network = Replayed(doubled, recorder)
    batch = torch.ones(2, 3, 4, 6)
    for _ in range(3):
        assert torch.equal(network(batch)[0], batch * 2)
    assert len(recorder.shapes) == 1
    assert [record.getMessage() for record in caplog.records] == [
        "no graph for batches of (2, 3, 4, 6): operation not permitted when stream is capturing"
    ]


def test_recording_needs_a_gpu() -> None:
    with pytest.raises(RuntimeError, match="not on cpu"):
        record_on_gpu(doubled, torch.ones(1, 3, *CROP_SIZE))


def test_a_race_of_graphs_goes_on_where_nothing_can_be_recorded() -> None:
    both = {"torch": 0.0, "torch-graphs": 0.0}
    those = Race(find_model("detector"), find_model("reader"), {"detector": both, "reader": both}, precision="fp32")  # type: ignore[arg-type]
    choice = race(those)
    assert set(choice.milliseconds["detector"]) == set(choice.milliseconds["reader"]) == set(both)
    assert choice.detector in both
