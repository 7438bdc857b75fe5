"""An open PyAV container in, SourceMessages out: what files, RTSP and mpegts over the network have in common.

H.264 is passed on group by group and MJPEG picture by picture, untouched; everything else is decoded and sent
as JPEG of quality 95.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import av
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream

from cameras.encoder import complete_jpeg, encode_within, jpeg_size
from cameras.sequence import Sequence
from cameras.sources.base import MAX_VALUE_BYTES, SourceError, SourceMessage
from cameras.sources.groups import Group, GroupCutter, GroupDecoder
from cameras.sources.live import add_line
from schemas.frame import FramePosition


@dataclass(slots=True)
class StreamReader:
    """Makes one camera's messages of a stream, or of several in a row: capture times always rise."""

    camera_id: str
    sequence: Sequence
    origin: Callable[[float], float]
    """Epoch milliseconds of the stream's second 0, once the picture of this second has arrived: of pictures that
    arrive together only the last is asked about, because the others have waited for it."""
    quarter_turns: int = 0
    """Anticlockwise turns by 90 degrees that put the decoded picture upright; forces decoding unless 0."""
    notes: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    _second_0: float = 0.0
    """Epoch milliseconds, for what has arrived last."""
    _latest: int = 0
    """Epoch milliseconds of the last picture."""

    def read(self, container: InputContainer, name: str) -> Iterator[SourceMessage]:
        """Every message of the first video stream.

        Raises:
            SourceError: there is no video stream, or reading fails on the way.
        """
        stream = video_stream(container, name)
        try:
            codec = stream.codec_context.name
            if self.quarter_turns:
                self._note(f"{name}: decoded and sent as JPEG, because the file wants its pictures turned")
                yield from self._all_decoded(container, stream, name)
            elif codec == "h264":
                yield from self._h264(container, stream, name)
            elif codec == "mjpeg":
                yield from self._mjpeg(container, stream, name)
            else:
                self._note(f"{name}: {codec} is decoded and sent as JPEG")
                yield from self._all_decoded(container, stream, name)
        except av.FFmpegError as error:
            raise SourceError(f"{name}: reading stopped: {error.strerror}") from error

    def _note(self, line: str) -> None:
        if line not in self.notes:
            self.notes.append(line)

    def _all_decoded(self, container: InputContainer, stream: VideoStream, name: str) -> Iterator[SourceMessage]:
        stream.thread_type = "SLICE"
        for packet in container.demux(stream):
            try:
                frames = packet.decode()
            except av.InvalidDataError:
                time = float((packet.pts or 0) * (stream.time_base or 0))
                add_line(self.skipped, f"{name}: the picture at {time:.2f} s cannot be decoded")
                continue
            for frame in frames:
                time = frame.time or 0.0
                self._second_0 = self.origin(time)
                yield self.picture(frame, time)

    def _mjpeg(self, container: InputContainer, stream: VideoStream, name: str) -> Iterator[SourceMessage]:
        step = float(1 / (stream.average_rate or 25))
        time = -step
        for packet in container.demux(stream):
            if not packet.size:
                continue
            ticks = packet.pts if packet.pts is not None else packet.dts
            time = time + step if ticks is None or stream.time_base is None else float(ticks * stream.time_base)
            message = self.jpeg(bytes(packet), time)
            if message is None:
                add_line(self.skipped, f"{name}: the picture at {time:.2f} s is not a JPEG")
            else:
                yield message

    def _h264(self, container: InputContainer, stream: VideoStream, name: str) -> Iterator[SourceMessage]:
        cutter = GroupCutter(stream)
        decoder = GroupDecoder()
        context = stream.codec_context
        size = context.width, context.height
        interlaced: bool | None = None

        def send(groups: Iterator[Group]) -> Iterator[SourceMessage]:
            nonlocal interlaced
            for group in groups:
                if interlaced is None and group.kind == "copy":
                    interlaced = GroupDecoder().is_interlaced(group)
                if interlaced and group.kind == "copy":
                    group.kind, group.reason = "decode", "interlaced pictures"
                if group.reason:
                    self._note(f"{name}: decoded and sent as JPEG where it has {group.reason}")
                self._second_0 = self.origin(group.times[-1])
                if group.kind == "copy":
                    for frame, time in decoder.end():
                        yield self.picture(frame, time)
                    yield self.group(group, *size)
                else:
                    for frame, time in decoder.decode(group):
                        yield self.picture(frame, time)

        for packet in container.demux(stream):
            if packet.size:
                yield from send(cutter.push(packet))
        yield from send(cutter.flush())
        for frame, time in decoder.end():
            yield self.picture(frame, time)
        if cutter.undecodable:
            add_line(self.skipped, f"{name}: {cutter.undecodable} pictures before the first key picture")

    def _captured(self, time: float) -> int:
        """Epoch milliseconds of the next picture, by its second of the stream.

        Where the network was quicker than before, all that arrived together is moved on, so that no time comes twice.
        """
        self._second_0 = max(self._second_0, self._latest + 1 - time * 1000)
        self._latest = round(self._second_0 + time * 1000)
        return self._latest

    def jpeg(self, data: bytes, time: float) -> SourceMessage | None:
        """One picture of a motion JPEG stream; None when it is none."""
        data = complete_jpeg(data)
        size = jpeg_size(data)
        if size is None or len(data) > MAX_VALUE_BYTES:
            return None
        self._second_0 = self.origin(time)
        return SourceMessage(
            data, self.camera_id, self.sequence.take(self.camera_id), self._captured(time), "jpeg", *size
        )

    def picture(self, frame: av.VideoFrame, time: float) -> SourceMessage:
        """One decoded picture as JPEG."""
        image = np.ascontiguousarray(np.rot90(frame.to_ndarray(format="bgr24"), self.quarter_turns), np.uint8)
        height, width = image.shape[:2]
        data = encode_within(image, MAX_VALUE_BYTES)
        width, height = jpeg_size(data) or (width, height)
        return SourceMessage(
            data, self.camera_id, self.sequence.take(self.camera_id), self._captured(time), "jpeg", width, height
        )

    def group(self, group: Group, width: int, height: int) -> SourceMessage:
        """One group as it is."""
        times = [self._captured(time) for time in group.times]
        return SourceMessage(
            group.value,
            self.camera_id,
            self.sequence.take(self.camera_id, len(times)),
            times[0],
            "h264",
            width,
            height,
            frames=len(times),
            positions=tuple(FramePosition(dt_ms=time - times[0]) for time in times),
        )


def open_container(
    name: str,
    *,
    options: dict[str, str] | None = None,
    timeout: tuple[float, float] | None = None,
    container_format: str | None = None,
) -> InputContainer:
    """Open a file or an address with PyAV; `timeout` is seconds to open and seconds per read.

    Raises:
        SourceError: with FFmpeg's reason.
    """
    try:
        return av.open(name, "r", format=container_format, options=options or {}, timeout=timeout)
    except (av.FFmpegError, OSError) as error:
        reason = error.strerror or str(error)
        raise SourceError(f"{name}: cannot be opened as video: {reason}") from error


def video_stream(container: InputContainer, name: str) -> VideoStream:
    """The first video stream.

    Raises:
        SourceError: there is none, or its size is not known.
    """
    if not container.streams.video:
        raise SourceError(f"{name}: holds no video stream")
    stream = container.streams.video[0]
    if not stream.codec_context.width or not stream.codec_context.height:
        raise SourceError(f"{name}: the video stream has no picture size; the file seems to be damaged")
    return stream
