"""How GPUs are shared among readers, and settings that contradict each other."""

from typing import Any

import pytest

from workers.actors import gpus_per_reader
from workers.pool import PoolError
from workers.settings import SettingsError, WorkerSettings, readers_for


@pytest.mark.parametrize(
    ("wanted", "readers", "gpus", "each"),
    [
        (None, 2, 0, 0.0),
        (None, 1, 1, 1.0),
        (None, 2, 1, 0.5),
        (None, 3, 1, 0.333),
        (None, 3, 2, 0.5),
        (None, 2, 8, 1.0),
        (0, 4, 0, 0.0),
        (0, 4, 2, 0.0),
        (0.25, 4, 1, 0.25),
        (0.1, 10, 1, 0.1),
        (1, 2, 2, 1),
        (2, 2, 4, 2),
    ],
)
def test_each_reader_gets_its_share(wanted: float | None, readers: int, gpus: float, each: float) -> None:
    assert gpus_per_reader(wanted, readers, gpus) == pytest.approx(each)


@pytest.mark.parametrize(
    ("wanted", "readers", "gpus"), [(1, 1, 0), (0.25, 1, 0), (0.25, 5, 1), (0.6, 2, 1), (1, 3, 2), (2, 2, 3)]
)
def test_what_does_not_fit_is_refused_in_one_line(wanted: float, readers: int, gpus: float) -> None:
    with pytest.raises(PoolError, match="num_gpus") as caught:
        gpus_per_reader(wanted, readers, gpus)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"readers": 0}, "readers"),
        ({"batch_frames": 0}, "batch_frames"),
        ({"batch_wait_ms": -1}, "batch_wait_ms"),
        ({"num_gpus": 1.5}, "num_gpus"),
        ({"num_gpus": -1}, "num_gpus"),
        ({"num_gpus": float("nan")}, "num_gpus"),
        ({"batch_frames": 64, "max_in_flight": 32}, "max_in_flight"),
    ],
)
def test_settings_that_cannot_be_name_the_setting(changes: dict[str, Any], name: str) -> None:
    with pytest.raises(SettingsError, match=name):
        WorkerSettings("localhost:9092", **changes)


@pytest.mark.parametrize(
    ("cores", "realtime", "expected"), [(1, True, 1), (2, True, 1), (2, False, 2), (4, False, 4), (16, False, 15)]
)
def test_readers_leave_a_core_where_that_pays(cores: int, realtime: bool, expected: int) -> None:
    assert readers_for(cores, realtime=realtime) == (expected, 1)
