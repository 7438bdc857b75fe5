"""What `publish` tells `up`, and how `up` reads it."""

import io
from contextlib import ExitStack

import pytest

from cameras.delivery import CameraCount
from cameras.publisher import PublishSummary
from fleet.commands.publish import _teller
from fleet.run import _Cameras


def test_progress_is_told_when_there_is_some(capsys: pytest.CaptureFixture[str]) -> None:
    with ExitStack() as stack:
        tell = _teller(stack, [], as_json=True)
        for frames in (0, 0, 3, 3, 3, 5):
            tell(PublishSummary({"a": CameraCount(frames=frames)}, 1.0))
    assert capsys.readouterr().out.splitlines() == [
        '{"event":"progress","frames":3}',
        '{"event":"progress","frames":5}',
    ]


class Process:
    """A publisher that is acted; tells how much of its log was read."""

    alive = True

    def __init__(self) -> None:
        self.log = self
        self.written = b""
        self.read = 0

    def open(self, mode: str) -> io.BytesIO:
        process = self

        class Log(io.BytesIO):
            def read(self, size: int | None = -1) -> bytes:
                found = super().read(size)
                process.read += len(found)
                return found

        return Log(self.written)


def test_the_log_of_the_cameras_is_read_once() -> None:
    process = Process()
    notes: list[str] = []
    cameras = _Cameras(process, notes.append)  # type: ignore[arg-type]
    process.written = b'{"event": "started", "cameras": ["a"], "shift_ms": 0}\n'
    assert not cameras.ended()
    process.written += b'{"event": "progress", "frames": 3}\nplatefleet: a note\n{"event": "prog'
    cameras.ended()
    assert (cameras.names, cameras.frames, notes) == (["a"], 3, ["a note"])
    process.written += b'ress", "frames": 7}\n'
    for _ in range(5):
        cameras.ended()
    assert cameras.frames == 7
    assert process.read == len(process.written) + len(b'{"event": "prog')
