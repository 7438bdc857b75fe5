"""A video file: H.264 groups and MJPEG pictures as they lie in it, any other codec as JPEG. One file, one camera."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import av

from cameras import sequence as numbers
from cameras.sources.base import SourceError, SourceMessage
from cameras.sources.stream import StreamReader, open_container, video_stream
from plumbing.clock import Clock

SUFFIXES = frozenset(
    {
        ".mp4",
        ".m4v",
        ".mov",
        ".avi",
        ".mkv",
        ".webm",
        ".ts",
        ".m2ts",
        ".mts",
        ".mpg",
        ".mpeg",
        ".wmv",
        ".flv",
        ".3gp",
        ".h264",
        ".mjpeg",
    }
)


class VideoFiles:
    """One or more files played one after the other by one camera.

    A file tells when a picture was taken relative to its start only. `rebase=True` lets the camera start
    now; `rebase=False` lets it end now, so that no picture lies in the future however fast it is sent.
    """

    live = False

    def __init__(
        self, camera_id: str, paths: Sequence[Path], *, sequence: numbers.Sequence, clock: Clock, rebase: bool = False
    ) -> None:
        """Raises:
        SourceError: a file cannot be opened as video.
        """
        self.camera_id = camera_id
        self.name = str(paths[0]) if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more"
        self.skipped: list[str] = []
        self.notes: list[str] = []
        self._paths = list(paths)
        self._sequence = sequence
        self._clock = clock
        self._rebase = rebase
        self._closed = False
        self._spans = [_Span.of(path) for path in paths]
        frames = [span.frames for span in self._spans]
        self.total: int | None = sum(frames) if all(frames) else None

    def __iter__(self) -> Iterator[SourceMessage]:
        """Every picture of every file once."""
        start = self._clock.now_ms()
        if not self._rebase:
            start -= round(sum(span.seconds for span in self._spans) * 1000)
        for path, span in zip(self._paths, self._spans, strict=True):
            origin = start - span.first * 1000

            def known(_time: float, origin: float = origin) -> float:
                return origin

            reader = StreamReader(self.camera_id, self._sequence, known, span.quarter_turns, self.notes, self.skipped)
            with open_container(str(path)) as container:
                for message in reader.read(container, str(path)):
                    if self._closed:
                        return
                    yield message
            start += round(span.seconds * 1000)

    def close(self) -> None:
        """End the iteration at the next message."""
        self._closed = True


class _Span:
    """What must be known of a file before it is played."""

    def __init__(self, first: float, seconds: float, frames: int, quarter_turns: int) -> None:
        self.first = first
        self.seconds = seconds
        self.frames = frames
        self.quarter_turns = quarter_turns

    @classmethod
    def of(cls, path: Path) -> "_Span":
        """Raises:
        SourceError: not a video, or nothing of it can be decoded.
        """
        with open_container(str(path)) as container:
            stream = video_stream(container, str(path))
            first = float((stream.start_time or 0) * (stream.time_base or 0))
            if stream.duration and stream.time_base:
                seconds = float(stream.duration * stream.time_base)
            else:
                seconds = (container.duration or 0) / av.time_base
            try:
                turn = next((frame.rotation for frame in container.decode(stream)), None)
            except av.FFmpegError as error:
                raise SourceError(f"{path}: its first picture cannot be decoded: {error.strerror}") from error
            if turn is None:
                raise SourceError(f"{path}: holds no picture that can be decoded")
            return cls(first, max(seconds, 0.0), stream.frames, round(turn / 90) % 4)
