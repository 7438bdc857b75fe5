"""A retained read of a track: what votes, and what becomes the evidence when it wins.

In: a read and its frame. Out: a flat struct; its nested parts stay encoded, as a state holds many looks, few of which
are ever told: they are written without being walked through again, and lie in one piece of memory.
"""

import msgspec

from schemas.read import FrameReads, PlateRead, Point
from streams.vote import Ballot, CharProbs, quality

Corners = tuple[Point, Point, Point, Point]
_SYMBOLS = 4
"""Likeliest symbols per character that a retained look remembers."""
_encoder = msgspec.msgpack.Encoder()
_probs = msgspec.msgpack.Decoder(CharProbs)
_corners = msgspec.msgpack.Decoder(Corners)


class Said(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A ballot whose probabilities are still encoded."""

    text: str
    confidence: float
    height: float
    sharpness: float
    legibility: float
    probs: msgspec.Raw
    region: str
    region_confidence: float


class Look(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One retained read: its ballot, and what makes it evidence.

    The nested parts stay encoded until somebody asks for them: a state holds many looks, and most are never told.
    """

    seq: int
    rank: int
    t: int
    quality: float
    said: Said
    corners: msgspec.Raw
    """See `corners_of`."""
    frame_sha256: str
    partition: int
    offset: int
    frame_index: int
    lat: float | None
    lon: float | None
    heading: float | None
    speed: float | None
    model_version: str


def worth_of(read: PlateRead) -> float:
    """How good a look at a plate the read is, its own confidence included."""
    return quality(read.box[3], read.sharpness, read.legibility) * (0.1 + 0.9 * read.confidence)


def look_of(frame: FrameReads, rank: int, text: str, t: int, worth: float) -> Look:
    """What is retained of read `rank` of a frame at `t`, epoch milliseconds; `text` is its plate, not empty."""
    read = frame.reads[rank]
    probs = read.char_probs if len(read.char_probs) == len(text) else ()
    for options in probs:
        if len(options) > _SYMBOLS:
            probs = tuple(options[:_SYMBOLS] for options in probs)
            break
    said = Said(
        text,
        read.confidence,
        read.box[3],
        read.sharpness,
        read.legibility,
        msgspec.Raw(_encoder.encode(probs)),
        read.region,
        read.region_confidence,
    )
    return Look(
        frame.seq,
        rank,
        t,
        worth,
        said,
        msgspec.Raw(_encoder.encode(read.corners)),
        frame.frame_sha256,
        frame.frame_partition,
        frame.frame_offset,
        frame.frame_index,
        frame.lat,
        frame.lon,
        frame.heading,
        frame.speed,
        frame.model_version,
    )


def ballot_of(look: Look) -> Ballot:
    """What the look has to say in a vote."""
    s = look.said
    probs = _probs.decode(s.probs)
    return Ballot(s.text, s.confidence, s.height, s.sharpness, s.legibility, probs, s.region, s.region_confidence)


def corners_of(look: Look) -> Corners:
    """The plate's corners, clockwise from its own top left."""
    corners: Corners = _corners.decode(look.corners)
    return corners


def worse(look: Look) -> tuple[float, int]:
    """Sorts the best look first."""
    return -look.quality, look.seq
