"""A record of `fleet.frames` to pictures: headers and bytes in, pictures with identity, time and place out.

Pure. The checks come in this order: headers and schema version, digest, codec, size limit (before memory is taken for
the picture), decoding. What fails one of them is a BadFrameError. Nothing here knows Kafka or Ray.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import av
import cv2
import numpy as np
from av.error import FFmpegError

from schemas.codec import SchemaError, decode_frame_header
from schemas.dead import DeadReason
from schemas.frame import FrameHeader
from vision.decode import DecodeError, Reason, decode_image
from vision.types import Image
from workers.settings import Limits

_INT64 = 1 << 63
_MAX_CAMERA_ID = 200
_JPEG_BEGINS = b"\xff\xd8"
_REASONS: dict[Reason, DeadReason] = {
    "empty": "not_an_image",
    "not-an-image": "not_an_image",
    "too-large": "too_large",
    "truncated": "truncated",
    "unsupported": "undecodable",
}


class BadFrameError(Exception):
    """The record cannot become pictures: `reason` for the dead letter, the text for a person."""

    def __init__(self, reason: DeadReason, detail: str, trace_id: str | None = None) -> None:
        super().__init__(detail)
        self.reason = reason
        self.trace_id = trace_id


@dataclass(frozen=True, slots=True)
class Place:
    """Where the camera was; None where not known."""

    lat: float | None = None
    lon: float | None = None
    heading: float | None = None
    speed: float | None = None


@dataclass(frozen=True, slots=True)
class Picture:
    """One decoded picture of a record."""

    image: Image
    seq: int
    index: int
    """0 for a JPEG, else its place in the H.264 group."""
    captured_at: int
    """Epoch milliseconds UTC, camera clock."""
    place: Place


@dataclass(frozen=True, slots=True)
class OpenedFrame:
    """A record whose headers and digest are right."""

    header: FrameHeader
    value: bytes
    bad_positions: int
    """Positions that were taken out because they are not on the globe."""
    places: tuple[tuple[int, Place], ...]
    """Milliseconds after `captured_at` and place, per picture."""

    @property
    def trace_id(self) -> str:
        """Name of the record in logs and dead letters."""
        return f"{self.header.camera_id}/{self.header.seq}"


def open_frame(headers: Sequence[tuple[str, bytes]], value: bytes | None, limits: Limits) -> OpenedFrame:
    """Check all that can be checked without decoding.

    Raises:
        BadFrameError: bad_header, unknown_schema, wrong_sha256, not_an_image, too_large or bad_video.
    """
    try:
        header = decode_frame_header(headers)
    except SchemaError as error:
        reason: DeadReason = "unknown_schema" if error.reason == "unknown_schema" else "bad_header"
        raise BadFrameError(reason, str(error)) from error
    trace = f"{header.camera_id}/{header.seq}"
    fault = _fault_of(header, limits)
    if fault:
        raise BadFrameError(*fault, trace)
    if hashlib.sha256(value or b"").hexdigest() != header.sha256.lower():
        raise BadFrameError("wrong_sha256", f"{len(value or b'')} bytes do not have the digest of their header", trace)
    if not value:
        raise BadFrameError("not_an_image", "the record is empty", trace)
    places, bad = _places_of(header)
    return OpenedFrame(header, value, bad, places)


def _fault_of(header: FrameHeader, limits: Limits) -> tuple[DeadReason, str] | None:
    if not 0 < len(header.camera_id) <= _MAX_CAMERA_ID:
        return "bad_header", f"camera_id has {len(header.camera_id)} characters, 1 to {_MAX_CAMERA_ID} are allowed"
    if not 0 <= header.seq < _INT64 - limits.max_pictures or not 0 <= header.captured_at < _INT64 // 1000:
        return "bad_header", f"seq {header.seq} or captured_at {header.captured_at} is out of range"
    if header.width < 1 or header.height < 1 or header.frames < 1:
        return "bad_header", f"{header.frames} pictures of {header.width} x {header.height} pixels"
    if header.codec == "jpeg" and (header.frames != 1 or header.positions):
        return "bad_header", f"a JPEG is one picture, the header says {header.frames} (positions: h264 only)"
    if header.positions and len(header.positions) != header.frames:
        return "bad_header", f"{len(header.positions)} positions for {header.frames} pictures"
    if header.width * header.height > limits.max_pixels:
        return "too_large", _too_large(header.width, header.height, limits)
    if header.frames > limits.max_pictures:
        return "too_large", f"a group of {header.frames} pictures, {limits.max_pictures} are allowed"
    return None


def _too_large(width: int, height: int, limits: Limits) -> str:
    return f"{width} x {height} pixels, {limits.max_pixels / 1e6:g} million are allowed"


def _places_of(header: FrameHeader) -> tuple[tuple[tuple[int, Place], ...], int]:
    own, bad = clean_place(header.lat, header.lon, header.heading, header.speed)
    if header.codec == "jpeg":
        return ((0, own),), bad
    if not header.positions:
        # nothing says when the pictures of the group were taken: they share the first one's time
        return ((0, own),) * header.frames, bad
    cleaned = [(p.dt_ms, clean_place(p.lat, p.lon, p.heading, p.speed)) for p in header.positions]
    return tuple((dt, place) for dt, (place, _) in cleaned), bad + sum(wrong for _, (_, wrong) in cleaned)


def clean_place(lat: float | None, lon: float | None, heading: float | None, speed: float | None) -> tuple[Place, int]:
    """A place with only what can be true, and 1 when something had to be taken out, else 0."""
    bad = False
    if (lat, lon) != (None, None) and (lat is None or lon is None or not (abs(lat) <= 90.0 and abs(lon) <= 180.0)):
        lat, lon, bad = None, None, True
    if heading is not None:
        if 0.0 <= heading <= 360.0:
            heading %= 360.0
        else:
            heading, bad = None, True
    if speed is not None and not 0.0 <= speed < 1_000.0:
        speed, bad = None, True
    return Place(lat, lon, heading, speed), int(bad)


def pictures(frame: OpenedFrame, limits: Limits) -> Iterator[Picture]:
    """Decode one after the other, so that a long group never lies in memory as a whole.

    Raises:
        BadFrameError: not_an_image, truncated, too_large, undecodable or bad_video; for an H.264 group this may come
            after some pictures, which then do not count.
    """
    header = frame.header
    images = iter([_jpeg(frame, limits)]) if header.codec == "jpeg" else _h264(frame, limits)
    for index, image in enumerate(images):
        dt_ms, place = frame.places[index]
        yield Picture(image, header.seq + index, index, header.captured_at + dt_ms, place)


def _jpeg(frame: OpenedFrame, limits: Limits) -> Image:
    try:
        return decode_image(frame.value, limits.max_pixels)
    except DecodeError as error:
        reason = _REASONS[error.reason]
        if reason == "not_an_image" and frame.value[:2] == _JPEG_BEGINS:
            # cut off within the header: too little is left for anybody to know the kind
            reason = "truncated"
        raise BadFrameError(reason, str(error), frame.trace_id) from error
    except cv2.error as error:
        raise BadFrameError("undecodable", f"OpenCV cannot decode it: {error.err}", frame.trace_id) from error


def _h264(frame: OpenedFrame, limits: Limits) -> Iterator[Image]:
    decoder = av.CodecContext.create("h264", "r")
    # refuses a larger picture before it takes memory for it
    decoder.options = {"max_pixels": str(limits.max_pixels)}
    decoder.thread_count = 1
    announced = frame.header.frames
    count = 0
    try:
        for packet in [*decoder.parse(frame.value), *decoder.parse(None), None]:
            for picture in decoder.decode(packet):
                count += 1
                if count > announced:
                    raise BadFrameError(
                        "bad_video", f"the group holds more than the {announced} pictures announced", frame.trace_id
                    )
                yield np.asarray(picture.to_ndarray(format="bgr24"), np.uint8)
    except FFmpegError as error:
        raise BadFrameError(
            "bad_video", f"H.264 group breaks after {count} of {announced} pictures: {error.strerror}", frame.trace_id
        ) from error
    if count < announced:
        raise BadFrameError("bad_video", f"{count} of {announced} pictures announced", frame.trace_id)
