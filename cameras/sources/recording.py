"""A drive as cameras recorded it: one folder per camera, `frames.jsonl` with identity, time and place of each picture.

A line is {"file", "seq", "captured_at", "lat", "lon", "heading", "speed", "width", "height"}; `file` is a JPEG
next to it, or a video together with "index", the picture's place in it. Time is epoch milliseconds.
"""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from cameras.encoder import jpeg_size
from cameras.sources.base import MAX_VALUE_BYTES, SourceError, SourceMessage
from cameras.sources.folder import load_still
from cameras.sources.stream import StreamReader, open_container
from plumbing.clock import Clock
from schemas.frame import FramePosition

INDEX_NAME = "frames.jsonl"


class RecordedFrame(msgspec.Struct, frozen=True, kw_only=True):
    """One line of `frames.jsonl`; keys that are not listed are passed over."""

    file: str
    seq: int
    captured_at: int
    width: int
    height: int
    index: int | None = None
    camera_id: str | None = None
    lat: float | None = None
    lon: float | None = None
    heading: float | None = None
    speed: float | None = None
    still: bool = False


class TimeShift:
    """One shift for all cameras of a drive, fixed when the first of them starts to play."""

    def __init__(self, clock: Clock, first_ms: int) -> None:
        self._clock = clock
        self._first_ms = first_ms
        self._shift: int | None = None

    def get(self) -> int:
        """Milliseconds to add to every recorded time, so that the drive's first picture is taken now."""
        if self._shift is None:
            self._shift = self._clock.now_ms() - self._first_ms
        return self._shift


def camera_folders(folder: Path) -> list[Path]:
    """The folders of a drive that hold an index, by name; empty when `folder` is no recording."""
    if (folder / INDEX_NAME).is_file():
        return [folder]
    return sorted(path.parent for path in folder.glob(f"*/{INDEX_NAME}"))


class RecordedCamera:
    """Replays one camera's folder with the identity and, but for a shift, the times that were recorded."""

    live = False

    def __init__(self, folder: Path) -> None:
        """Raises:
        SourceError: the index cannot be read, is empty, or its first line is not a frame.
        """
        self.name = str(folder)
        self.skipped: list[str] = []
        self.notes: list[str] = []
        self._folder = folder
        self._index = folder / INDEX_NAME
        self._shift: TimeShift | None = None
        self._closed = False
        first = next(self._lines(), None)
        if first is None:
            raise SourceError(f"{self._index}: holds no frames")
        self.camera_id = first.camera_id or folder.name
        self.first_ms = first.captured_at
        with self._index.open("rb") as file:
            self.total: int | None = sum(1 for line in file if line.strip())

    def rebase(self, shift: TimeShift) -> None:
        """Play with shifted times; every camera of a drive is given the same shift."""
        self._shift = shift

    def close(self) -> None:
        """End the iteration at the next message."""
        self._closed = True

    def __iter__(self) -> Iterator[SourceMessage]:
        """Every picture once, `seq` and times as recorded.

        Raises:
            SourceError: the index is damaged, or a video does not hold what the index says.
        """
        shift = 0
        if self._shift is not None:
            shift = self._shift.get()
            self.notes.append(f"{self.name}: times shifted by {shift / 1000:+.3f} s, so that the drive starts now")
        for file, lines in self._runs():
            found = self._picture(lines[0], shift) if lines[0].index is None else self._video(file, lines, shift)
            for message in found:
                if self._closed:
                    return
                yield message

    def _lines(self) -> Iterator[RecordedFrame]:
        decoder = msgspec.json.Decoder(RecordedFrame)
        last = -1
        try:
            with self._index.open("rb") as file:
                for number, line in enumerate(file, 1):
                    if not line.strip():
                        continue
                    frame = decoder.decode(line)
                    if frame.seq <= last:
                        raise SourceError(f"{self._index}:{number}: seq {frame.seq} after {last}; it must rise")
                    last = frame.seq
                    yield frame
        except OSError as error:
            raise SourceError(f"{self._index}: cannot be read: {error.strerror}") from error
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise SourceError(f"{self._index}:{number}: not a frame: {error}") from error

    def _runs(self) -> Iterator[tuple[str, list[RecordedFrame]]]:
        """One JPEG's line, or all neighbouring lines of one video."""
        run: list[RecordedFrame] = []
        for frame in self._lines():
            if run and (frame.index is None or frame.file != run[0].file):
                yield run[0].file, run
                run = []
            run.append(frame)
            if frame.index is None:
                yield frame.file, run
                run = []
        if run:
            yield run[0].file, run

    def _path(self, file: str) -> Path:
        path = (self._folder / file).resolve()
        if not path.is_relative_to(self._folder.resolve()):
            raise SourceError(f"{self._index}: {file} lies outside of the recording")
        return path

    def _picture(self, line: RecordedFrame, shift: int) -> Iterator[SourceMessage]:
        path = self._path(line.file)
        try:
            data = path.read_bytes()
            if len(data) <= MAX_VALUE_BYTES and jpeg_size(data) is not None:
                width, height = line.width, line.height
            else:
                data, width, height, note = load_still(data, str(path))
                if note:
                    self.notes.append(note)
        except OSError as error:
            self.skipped.append(f"{path}: cannot be read: {error.strerror}")
            return
        except SourceError as error:
            self.skipped.append(str(error))
            return
        yield SourceMessage(
            data,
            self.camera_id,
            line.seq,
            line.captured_at + shift,
            "jpeg",
            width,
            height,
            line.lat,
            line.lon,
            line.heading,
            line.speed,
            still=line.still,
        )

    def _video(self, file: str, lines: list[RecordedFrame], shift: int) -> Iterator[SourceMessage]:
        """Groups as they lie in the file, each picture with its line's number, time and place."""
        path = self._path(file)
        by_index = {line.index: line for line in lines}
        reader = StreamReader(self.camera_id, _Counter(), lambda time: 0, notes=self.notes, skipped=self.skipped)
        first = 0
        with open_container(str(path)) as container:
            for message in reader.read(container, str(path)):
                members = [by_index.get(first + place) for place in range(message.frames)]
                first += message.frames
                yield self._told(message, members, shift, f"{path}: picture {first - message.frames}")
        if first < len(lines):
            self.skipped.append(f"{path}: holds {first} pictures, {self._index} tells of {len(lines)}")

    def _told(
        self, message: SourceMessage, members: list[RecordedFrame | None], shift: int, where: str
    ) -> SourceMessage:
        lines = [line for line in members if line is not None]
        whole = [line.seq - lines[0].seq for line in lines] == list(range(len(members))) if lines else False
        if not whole:
            raise SourceError(
                f"{where}: the index must have one line for each of the {len(members)} pictures of the group that "
                "begins here, with numbers in a row"
            )
        start = lines[0]
        return SourceMessage(
            message.value,
            self.camera_id,
            start.seq,
            start.captured_at + shift,
            message.codec,
            message.width,
            message.height,
            start.lat,
            start.lon,
            start.heading,
            start.speed,
            frames=message.frames,
            positions=tuple(
                FramePosition(
                    dt_ms=line.captured_at - start.captured_at,
                    lat=line.lat,
                    lon=line.lon,
                    heading=line.heading,
                    speed=line.speed,
                )
                for line in lines
            )
            if message.positions
            else (),
        )


class _Counter:
    """Numbers that nobody looks at: the index brings the real ones."""

    def take(self, camera_id: str, count: int = 1) -> int:
        return 0

    def close(self) -> None:
        pass


def open_recording(folder: Path, *, cameras: int | None, rebase: bool, clock: Clock) -> list[RecordedCamera]:
    """The first `cameras` cameras of a drive, all of them when None or when it has fewer.

    Raises:
        SourceError: two cameras of one name, or an index that cannot be read.
    """
    folders = camera_folders(folder)
    found = [RecordedCamera(path) for path in folders[:cameras]]
    names = [camera.camera_id for camera in found]
    if len(set(names)) < len(names):
        raise SourceError(f"{folder}: two folders claim to be the same camera: {', '.join(sorted(names))}")
    if cameras is not None and cameras > len(found):
        found[0].notes.append(f"{folder}: a recording of {len(found)} cameras, {cameras} were asked for")
    if rebase:
        shift = TimeShift(clock, min(camera.first_ms for camera in found))
        for camera in found:
            camera.rebase(shift)
    return found
