"""A frame as it travels on `fleet.frames`: the compressed bytes are the value, this is the record's headers."""

from typing import Literal

import msgspec

FRAME_SCHEMA = 1
"""Version of the header set below. A worker sends a frame of any other version to the dead letters."""

Codec = Literal["jpeg", "h264"]


class FramePosition(msgspec.Struct, frozen=True, kw_only=True):
    """Where and when one picture of a group of pictures was taken, relative to the message's first one."""

    dt_ms: int
    """Milliseconds after the message's `captured_at`."""
    lat: float | None = None
    lon: float | None = None
    heading: float | None = None
    speed: float | None = None


class FrameHeader(msgspec.Struct, frozen=True, kw_only=True):
    """Metadata of one message of `fleet.frames`: one JPEG, or one H.264 group of pictures.

    The identity of a picture is (camera_id, seq). A group of `frames` pictures owns the numbers
    `seq .. seq + frames - 1`.
    """

    schema: int = FRAME_SCHEMA
    camera_id: str
    seq: int
    """Rises by at least one per picture and camera, also across restarts of the camera."""
    captured_at: int
    """Camera clock at the first picture, epoch milliseconds UTC."""
    codec: Codec
    width: int
    height: int
    sha256: str
    """Hex digest of the message's value."""
    lat: float | None = None
    """Degrees north, WGS 84, -90..90."""
    lon: float | None = None
    """Degrees east, WGS 84, -180..180."""
    heading: float | None = None
    """Degrees clockwise from north, 0..360."""
    speed: float | None = None
    """Metres per second over ground, >= 0."""
    still: bool = False
    """True for a picture from an image folder: it may be the only look at its vehicle."""
    frames: int = 1
    """Pictures in this message: 1 for a JPEG, the length of the group for H.264."""
    positions: tuple[FramePosition, ...] = ()
    """One per picture of an H.264 group, else empty."""
