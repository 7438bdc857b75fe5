"""Whatever way Ray tells that a reader has died, the worker goes on; Ray itself is stubbed."""

import re
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ray.exceptions import ActorDiedError, NodeDiedError, OutOfMemoryError, WorkerCrashedError

from plumbing.bus import Record
from tests.workers.rig import settings_for
from workers import actors
from workers.actors import RayPool
from workers.batcher import Job
from workers.pool import Lost, PoolError

DEATHS = [
    ActorDiedError(),
    OutOfMemoryError("Task was killed due to the node running low on memory"),
    NodeDiedError("node died"),
    WorkerCrashedError(),
]
deaths = pytest.mark.parametrize("death", DEATHS, ids=lambda death: type(death).__name__)


class Handle:
    """An actor: each call gives a reference of its own."""

    def __init__(self) -> None:
        self.describe = self.read = self

    def remote(self, *_: object) -> object:
        """A reference."""
        return object()


class StubbedRay:
    """Every reference is done at once; `answers` says with what, in order."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)

    def get(self, ref: object) -> Any:
        """The next answer."""
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def wait(self, refs: list[object], **_: object) -> tuple[list[object], list[object]]:
        """All are done."""
        return refs, []


@pytest.fixture
def folder() -> Iterator[Path]:
    """Not pytest's own, whose path is too long for Ray."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        yield Path(folder)


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Iterator[StubbedRay]:
    stub = StubbedRay()

    def make_readers(pool: RayPool) -> None:
        handle = Handle()
        pool._readers.append(actors._Reader(handle, 0, asked=handle.describe.remote()))

    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setattr(actors, "RESTART_PAUSE_S", 0.0)
    monkeypatch.setattr(RayPool, "_start_ray", lambda pool: setattr(pool, "_temp", actors._temp_folder()))
    monkeypatch.setattr(RayPool, "_make_readers", make_readers)
    monkeypatch.setattr(actors.ray, "get", stub.get)
    monkeypatch.setattr(actors.ray, "wait", stub.wait)
    yield stub
    assert stub.answers == []


def job() -> Job:
    return Job(Record("fleet.frames", 0, 0, 0, None, b"", ()), 0.0)


@deaths
def test_a_reader_that_dies_with_a_batch_hands_it_back_and_comes_again(ray: StubbedRay, death: Exception) -> None:
    ray.answers = [("model", 1), death, ("model", 2)]
    pool = RayPool(settings_for("b:1", "t"))
    batch = [job()]
    pool.submit(batch)
    (lost,) = pool.collect(0)
    assert isinstance(lost, Lost)
    assert lost.jobs is batch
    assert (pool.free(), pool.collect(0)) == (0, [])
    assert pool.free() == actors.DEPTH


@deaths
def test_a_reader_that_dies_before_it_is_back_is_asked_again(ray: StubbedRay, death: Exception) -> None:
    ray.answers = [("model", 1), death, death, ("model", 2)]
    pool = RayPool(settings_for("b:1", "t"))
    pool.submit([job()])
    for _ in range(3):
        pool.collect(0)
    assert pool.free() == actors.DEPTH


@deaths
def test_a_reader_that_dies_at_the_start_is_said_in_one_line(ray: StubbedRay, death: Exception) -> None:
    ray.answers = [death]
    with pytest.raises(PoolError, match="a reader cannot start") as caught:
        RayPool(settings_for("b:1", "t"))
    assert "\n" not in str(caught.value)


def collect_for_ever(pool: RayPool) -> None:
    while True:
        pool.collect(0)


def fail_often(ray: StubbedRay) -> str:
    ray.answers = [("model", 1), *[DEATHS[0]] * actors.MAX_FRUITLESS_DEATHS]
    pool = RayPool(settings_for("b:1", "t"))
    assert pool._temp is not None
    (pool._temp / "raylet.err").write_text("why")
    pool.submit([job()])
    with pytest.raises(PoolError, match="readers died 20 times") as caught:
        collect_for_ever(pool)
    pool.close()
    return str(caught.value)


def test_the_logs_that_an_error_names_are_there_when_it_is_read(ray: StubbedRay, folder: Path) -> None:
    for _ in range(2):
        found = re.search(r"Ray's logs are kept in (\S+)$", fail_often(ray))
        assert found
        assert (Path(found[1]) / "raylet.err").read_text() == "why"
    RayPool(settings_for("b:1", "t"), stopped()).close()
    assert list(folder.iterdir()) == [Path(found[1])], "the newest failure is kept, and nothing else"


def stopped() -> threading.Event:
    stop = threading.Event()
    stop.set()
    return stop


def test_a_cluster_keeps_its_logs_itself(ray: StubbedRay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RayPool, "_start_ray", lambda pool: None)
    ray.answers = [DEATHS[1]]
    with pytest.raises(PoolError, match="see Ray's logs on the machines of the cluster"):
        RayPool(settings_for("b:1", "t"))
