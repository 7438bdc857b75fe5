"""What every frame source promises: an iterator of SourceMessage, in the order in which the camera saw them."""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol

from schemas.frame import Codec, FrameHeader, FramePosition

MAX_VALUE_BYTES = (8 << 20) - (64 << 10)
"""Largest value a source hands out: the 8 MiB of `fleet.frames` less room for key, headers and framing."""


class SourceError(Exception):
    """A source cannot be opened or read; the text is one line that says what, where and what to do."""


@dataclass(frozen=True, slots=True)
class SourceMessage:
    """One message as it will travel: one JPEG, or one H.264 group of pictures that decodes alone.

    Field meanings are those of `schemas.frame.FrameHeader`; the digest is made in `header`.
    """

    value: bytes
    camera_id: str
    seq: int
    captured_at: int
    codec: Codec
    width: int
    height: int
    lat: float | None = None
    lon: float | None = None
    heading: float | None = None
    speed: float | None = None
    still: bool = False
    frames: int = 1
    positions: tuple[FramePosition, ...] = ()
    stamp: bool = False
    """True when nobody knows the capture time: `captured_at` then only places the message on the source's
    timeline, and the publisher writes the time of sending over it."""

    @property
    def due_ms(self) -> int:
        """When a camera could have sent this: capture time of its last picture, epoch milliseconds."""
        return self.captured_at + (self.positions[-1].dt_ms if self.positions else 0)

    def header(self, captured_at: int | None = None) -> FrameHeader:
        """The message's record headers, with the sha256 of its value."""
        return FrameHeader(
            camera_id=self.camera_id,
            seq=self.seq,
            captured_at=self.captured_at if captured_at is None else captured_at,
            codec=self.codec,
            width=self.width,
            height=self.height,
            sha256=sha256(self.value).hexdigest(),
            lat=self.lat,
            lon=self.lon,
            heading=self.heading,
            speed=self.speed,
            still=self.still,
            frames=self.frames,
            positions=self.positions,
        )


class Source(Protocol):
    """One camera's frames, once through. Iterating may block on a live source and raises SourceError."""

    name: str
    """What a person calls it: a path, an address, a device."""
    camera_id: str
    live: bool
    """True: frames come at their own pace, for ever, and cannot be had again. False: a file."""
    total: int | None
    """Pictures it will give, None when that is not known."""
    skipped: list[str]
    """One line per thing that could not be sent, so far."""
    notes: list[str]
    """One line per thing worth knowing, so far: a shift of times, a reason to re-encode."""

    def __iter__(self) -> Iterator[SourceMessage]:
        """The messages, `seq` rising."""

    def close(self) -> None:
        """Let go of files and connections and end a blocked iteration. A second call does nothing."""


def natural_key(text: str) -> list[tuple[int, int | str]]:
    """Sort key that puts `img2` before `img10`."""
    key: list[tuple[int, int | str]] = []
    digits = ""
    for char in text.casefold() + "\0":
        if char.isdecimal() and char.isascii():
            digits += char
            continue
        if digits:
            key.append((0, int(digits)))
            digits = ""
        key.append((1, char))
    return key
