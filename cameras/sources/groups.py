"""Packets of one H.264 stream in, groups of pictures that each decode alone out; what cannot be cut is marked."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

import av
from av.bitstream import BitStreamFilterContext
from av.packet import Packet
from av.video.stream import VideoStream

from cameras.sources import annexb
from cameras.sources.base import MAX_VALUE_BYTES

MAX_PICTURES = 300
"""Longest group that is passed on: 12 s at 25 pictures a second, more than any encoder's default."""


@dataclass(slots=True)
class Group:
    """A piece of the stream.

    `copy`: begins with an IDR picture, fits into one message, may travel as it is. `decode`: must be decoded;
    several such pieces in a row belong to one decoder, `first` says that a new one is wanted.
    """

    kind: Literal["copy", "decode"]
    packets: list[tuple[bytes, float]] = field(default_factory=list)
    """Annex B access unit in decoding order, its time of display in seconds of the stream."""
    first: bool = True
    reason: str = ""

    @property
    def value(self) -> bytes:
        """The message's value."""
        return b"".join(data for data, _ in self.packets)

    @property
    def times(self) -> list[float]:
        """Times of display, in the order in which a decoder gives the pictures."""
        return sorted(time for _, time in self.packets)


class GroupCutter:
    """Cuts before every IDR picture.

    A group that grows beyond the bounds, or pictures before the first IDR picture (a stream joined in its
    middle, open groups), come as `decode` pieces, packet by packet, until the next IDR picture.
    """

    def __init__(
        self, stream: VideoStream, *, max_bytes: int = MAX_VALUE_BYTES, max_pictures: int = MAX_PICTURES
    ) -> None:
        context = stream.codec_context
        self._filter = BitStreamFilterContext("h264_mp4toannexb", stream)
        self._sets = annexb.ParameterSets(context.extradata)
        self._step = float(1 / Fraction(stream.average_rate or 25))
        self._time_base = float(stream.time_base or Fraction(1, 1000))
        self._max_bytes = max_bytes
        self._max_pictures = max_pictures
        self._group: Group | None = None
        self._size = 0
        self._decoding = False
        self._last_time = -self._step
        self.undecodable = 0
        """Packets before the first key picture: nothing can be made of them."""

    def push(self, packet: Packet) -> Iterator[Group]:
        """What is complete now that `packet` has come.

        Raises:
            av.FFmpegError: the packet is not H.264.
        """
        for part in self._filter.filter(packet):
            yield from self._take(part)

    def flush(self) -> Iterator[Group]:
        """What is left at the end of the stream."""
        for part in self._filter.filter(None):
            yield from self._take(part)
        if self._group is not None:
            yield self._group
        self._group = None
        self._decoding = False

    def _time(self, packet: Packet) -> float:
        ticks = packet.pts if packet.pts is not None else packet.dts
        self._last_time = self._last_time + self._step if ticks is None else ticks * self._time_base
        return self._last_time

    def _take(self, packet: Packet) -> Iterator[Group]:
        data, idr = bytes(packet), False
        time = self._time(packet)
        if packet.is_keyframe:
            data, idr = self._sets.complete(data)
        elif not annexb.has_picture(data):
            return
        if idr:
            if self._group is not None:
                yield self._group
            self._group, self._size, self._decoding = Group("copy"), 0, False
        if self._group is None:
            yield from self._decode(packet.is_keyframe, data, time)
            return
        self._group.packets.append((data, time))
        self._size += len(data)
        if self._size > self._max_bytes or len(self._group.packets) > self._max_pictures:
            self._group.kind = "decode"
            self._group.reason = (
                f"a group of more than {self._max_pictures} pictures"
                if self._size <= self._max_bytes
                else f"a group of more than {self._max_bytes >> 20} MiB"
            )
            self._decoding = True
            yield self._group
            self._group = None

    def _decode(self, keyframe: bool, data: bytes, time: float) -> Iterator[Group]:
        if not self._decoding and not keyframe:
            self.undecodable += 1
            return
        first = not self._decoding
        self._decoding = True
        yield Group("decode", [(data, time)], first, "no IDR picture to cut at" if first else "")


class GroupDecoder:
    """Decodes the `decode` pieces of a cutter; one decoder lives from a `first` piece to the next `copy`."""

    def __init__(self) -> None:
        self._decoder: av.VideoCodecContext | None = None
        self._last_time = float("-inf")

    def decode(self, group: Group) -> Iterator[tuple[av.VideoFrame, float]]:
        """(picture, time of display in seconds of the stream) of all that the piece completes."""
        if group.first or self._decoder is None:
            yield from self.end()
            self._decoder = av.VideoCodecContext.create("h264", "r")
            self._decoder.thread_count = 1
            self._last_time = float("-inf")
        for data, time in group.packets:
            packet = Packet(data)
            packet.pts = round(time * 1_000_000)
            packet.time_base = Fraction(1, 1_000_000)
            yield from self._feed(packet)

    def _feed(self, packet: Packet | None) -> Iterator[tuple[av.VideoFrame, float]]:
        assert self._decoder is not None
        for frame in self._decoder.decode(packet):
            # AVI knows no time of display: a picture that seems to go back takes the next moment instead.
            self._last_time = max((frame.pts or 0) / 1_000_000, self._last_time + 0.001)
            yield frame, self._last_time

    def is_interlaced(self, group: Group) -> bool:
        """True when the first picture of a `copy` group consists of two fields: they may lie in packets of their
        own, so that packets say nothing about the number of pictures."""
        try:
            for frame, _ in self.decode(Group("decode", group.packets[:4])):
                return bool(frame.interlaced_frame)
            return False
        finally:
            self._decoder = None

    def end(self) -> Iterator[tuple[av.VideoFrame, float]]:
        """The pictures that the decoder still holds."""
        if self._decoder is not None:
            yield from self._feed(None)
        self._decoder = None
