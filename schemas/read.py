"""What a worker saw in one frame: one message of `fleet.reads` per frame, also when it holds no plate."""

from typing import Annotated

import msgspec

READ_SCHEMA = 1

Probability = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
Point = tuple[float, float]
Symbol = Annotated[str, msgspec.Meta(max_length=1)]
Symbols = Annotated[tuple[tuple[Symbol, float], ...], msgspec.Meta(min_length=1, max_length=8)]
"""What one character may be, with probabilities: bounded, since a vote makes texts of them."""


class Candidate(msgspec.Struct, frozen=True, gc=False):
    """One possible text of a plate."""

    plate: str
    confidence: Probability


class PlateRead(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One plate in one frame. Pixels are of the frame as it was published."""

    plate: str
    """Upper-case A-Z and 0-9 without spaces; empty when the plate was found but cannot be read."""
    confidence: Probability
    """Calibrated probability that `plate` is right as a whole."""
    detection_confidence: Probability
    box: tuple[float, float, float, float]
    """x, y, width, height of the upright box around the plate."""
    corners: tuple[Point, Point, Point, Point]
    """Clockwise from the plate's own top left."""
    char_probs: tuple[Symbols, ...] = ()
    """Per character of `plate` the likeliest symbols with their probabilities, best first; the empty
    symbol stands for "no character here"."""
    candidates: tuple[Candidate, ...] = ()
    """Best first; the first is `plate` itself."""
    region: str = ""
    """ISO 3166-1 alpha-2, for the US with state (`US-CA`); empty when not known."""
    region_confidence: Probability = 0.0
    legibility: Probability = 1.0
    sharpness: float = 0.0
    """Variance of the Laplacian of the rectified grey crop: comparable within one camera only."""
    crop_jpeg: bytes = b""
    """The rectified crop that was read, JPEG."""


class FrameReads(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag_field="kind", tag="reads"):
    """All plate reads of one frame, with what the tracker must know of the frame itself."""

    schema: int = READ_SCHEMA
    camera_id: str
    seq: int
    captured_at: int
    """Epoch milliseconds UTC, camera clock."""
    published_at: int
    """Broker's timestamp of the frame's record, epoch milliseconds UTC."""
    width: int
    height: int
    model_version: str
    frame_partition: int
    """Partition and offset of the frame in `fleet.frames`: the pointer to the evidence."""
    frame_offset: int
    frame_sha256: str
    frame_index: int = 0
    """Which picture of an H.264 group this is."""
    still: bool = False
    lat: float | None = None
    lon: float | None = None
    heading: float | None = None
    speed: float | None = None
    luma: float = 0.0
    """Mean grey level 0..255: tells night and a covered lens."""
    reads: tuple[PlateRead, ...] = ()


class CloseTracks(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="close"):
    """Command sent by the silence timer into a camera's partition of `fleet.reads`.

    It closes every open sighting of the camera whose last read lies at or before `seq`; a camera that
    has spoken since is not touched.
    """

    camera_id: str
    seq: int
    sent_at: int
    """Epoch milliseconds UTC."""


ReadsMessage = FrameReads | CloseTracks
