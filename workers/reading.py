"""One batch through one pipeline: records of `fleet.frames` in, encoded messages of `fleet.reads` or reasons out.

Pure but for the pipeline it is given: runs the same in a Ray actor, in a bare loop and in a test.
"""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count

import cv2
import numpy as np
from msgspec.structs import replace

from plumbing.bus import Record
from schemas.codec import encode_reads
from schemas.dead import DeadReason
from schemas.read import Candidate, FrameReads, PlateRead
from schemas.topics import READS
from vision.types import Image, PlateResult
from workers.decode import BadFrameError, OpenedFrame, Picture, open_frame, pictures
from workers.pipelines import Pipeline
from workers.settings import Limits

CROP_QUALITY = 85
_MAX_MESSAGE = READS.max_message_bytes - (64 << 10)
_LUMA_STEP = 8


class ReaderBrokenError(RuntimeError):
    """The pipeline fails on a picture that cannot be at fault: the reader must be made anew."""


@dataclass(frozen=True, slots=True)
class Reads:
    """A record that was read: one encoded message per picture, in the order of `seq`."""

    camera_id: str
    messages: tuple[bytes, ...]
    plates: int


@dataclass(frozen=True, slots=True)
class Dead:
    """A record that cannot be read."""

    reason: DeadReason
    detail: str
    trace_id: str | None = None


Outcome = Reads | Dead


@dataclass(slots=True)
class BatchResult:
    """What became of a batch: one outcome per record, in order, and where the time went."""

    outcomes: list[Outcome]
    seconds: dict[str, float] = field(default_factory=lambda: {"decode": 0.0, "vision": 0.0, "encode": 0.0})
    bad_positions: int = 0


@dataclass(slots=True)
class _Open:
    """A record on its way through the batch."""

    record: Record
    frame: OpenedFrame
    messages: list[bytes] = field(default_factory=list)
    plates: int = 0
    dead: Dead | None = None


def read_batch(records: Sequence[Record], pipeline: Pipeline, limits: Limits) -> BatchResult:
    """Decode, detect and read; a picture on which the pipeline fails makes only its own record a dead one.

    Raises:
        ReaderBrokenError: the pipeline fails on every picture, also on an empty one.
    """
    result = BatchResult([])
    entries: list[_Open | Dead] = [_open(record, limits, result) for record in records]
    for chunk in _chunks([entry for entry in entries if isinstance(entry, _Open)], limits, result):
        _read_chunk(chunk, pipeline, result)
    for entry in entries:
        if isinstance(entry, _Open):
            camera_id = entry.frame.header.camera_id
            result.outcomes.append(entry.dead or Reads(camera_id, tuple(entry.messages), entry.plates))
        else:
            result.outcomes.append(entry)
    return result


def _open(record: Record, limits: Limits, result: BatchResult) -> _Open | Dead:
    try:
        frame = open_frame(record.headers, record.value, limits)
    except BadFrameError as error:
        return Dead(error.reason, str(error), error.trace_id)
    result.bad_positions += frame.bad_positions
    return _Open(record, frame)


def _chunks(entries: Sequence[_Open], limits: Limits, result: BatchResult) -> Iterator[list[tuple[_Open, Picture]]]:
    """Decoded pictures of all records, in pieces that fit into memory."""
    chunk: list[tuple[_Open, Picture]] = []
    pixels = 0
    for entry in entries:
        stream = pictures(entry.frame, limits)
        for _ in count():
            begin = time.perf_counter()
            try:
                picture = next(stream, None)
            except BadFrameError as error:
                entry.dead = Dead(error.reason, str(error), error.trace_id)
                picture = None
            result.seconds["decode"] += time.perf_counter() - begin
            if picture is None:
                break
            chunk.append((entry, picture))
            pixels += picture.image.shape[0] * picture.image.shape[1]
            if len(chunk) >= limits.chunk_pictures or pixels >= limits.chunk_pixels:
                yield chunk
                chunk, pixels = [], 0
    if chunk:
        yield chunk


def _read_chunk(chunk: Sequence[tuple[_Open, Picture]], pipeline: Pipeline, result: BatchResult) -> None:
    alive = [(entry, picture) for entry, picture in chunk if entry.dead is None]
    begin = time.perf_counter()
    stills = [entry.frame.header.still for entry, _ in alive]
    plates = read_pictures([picture.image for _, picture in alive], stills, pipeline)
    result.seconds["vision"] += time.perf_counter() - begin
    begin = time.perf_counter()
    for (entry, picture), found in zip(alive, plates, strict=True):
        try:
            if isinstance(found, Exception):
                raise found
            message = encode_message(frame_reads(entry.record, entry.frame, picture, found, pipeline.model_version))
        except Exception as error:  # noqa: BLE001 - whatever a model does to one picture concerns that picture only
            text = " ".join(str(error).split())[:300]
            entry.dead = Dead("internal_error", f"{type(error).__name__}: {text}", entry.frame.trace_id)
        else:
            entry.messages.append(message)
            entry.plates += len(found)
    result.seconds["encode"] += time.perf_counter() - begin


def read_pictures(
    images: Sequence[Image], stills: Sequence[bool], pipeline: Pipeline
) -> list[Sequence[PlateResult] | Exception]:
    """All pictures at once; when the pipeline raises, in halves, down to the one that is at fault.

    Raises:
        ReaderBrokenError: it raises for an empty picture too.
    """
    if not images:
        return []
    try:
        found = pipeline.read(images, stills)
        if len(found) != len(images):
            raise ValueError(f"the pipeline gave {len(found)} results for {len(images)} pictures")
        return list(found)
    except Exception as error:  # noqa: BLE001 - a network can raise anything; the cause is kept in the dead letter
        if len(images) == 1:
            _probe(pipeline, error)
            return [error]
    half = len(images) // 2
    first, rest = slice(None, half), slice(half, None)
    return read_pictures(images[first], stills[first], pipeline) + read_pictures(images[rest], stills[rest], pipeline)


def _probe(pipeline: Pipeline, cause: Exception) -> None:
    # a lost GPU fails every picture: without this, all frames of the fleet would become dead letters
    try:
        pipeline.read([np.full((96, 128, 3), 128, np.uint8)])
    except Exception as error:
        text = " ".join(str(cause).split())[:300]
        raise ReaderBrokenError(f"the pipeline fails on every picture ({type(cause).__name__}: {text})") from error


def frame_reads(
    record: Record, frame: OpenedFrame, picture: Picture, plates: Sequence[PlateResult], model_version: str
) -> FrameReads:
    """The message for one picture."""
    height, width = picture.image.shape[:2]
    header, place = frame.header, picture.place
    return FrameReads(
        camera_id=header.camera_id,
        seq=picture.seq,
        captured_at=picture.captured_at,
        published_at=record.timestamp_ms,
        width=width,
        height=height,
        model_version=model_version,
        frame_partition=record.partition,
        frame_offset=record.offset,
        frame_sha256=header.sha256,
        frame_index=picture.index,
        still=header.still,
        lat=place.lat,
        lon=place.lon,
        heading=place.heading,
        speed=place.speed,
        luma=mean_luma(picture.image),
        reads=tuple(plate_read(plate) for plate in plates),
    )


def plate_read(plate: PlateResult) -> PlateRead:
    """One plate as a message; probabilities are held within 0..1.

    Raises:
        ValueError: a corner is not a finite number.
    """
    text, detection = plate.text, plate.detection
    corners = [(float(x), float(y)) for x, y in detection.corners]
    if len(corners) != 4 or not all(math.isfinite(value) for corner in corners for value in corner):
        raise ValueError(f"the detector gave the corners {corners}")
    return PlateRead(
        plate=text.plate,
        confidence=_probability(text.confidence),
        detection_confidence=_probability(detection.confidence),
        box=tuple(round(value, 2) for value in detection.box),  # type: ignore[arg-type]
        corners=tuple((round(x, 2), round(y, 2)) for x, y in corners),  # type: ignore[arg-type]
        char_probs=tuple(
            tuple((symbol, _probability(probability)) for symbol, probability in character)
            for character in text.char_probs
        ),
        candidates=tuple(Candidate(candidate, _probability(probability)) for candidate, probability in text.candidates),
        region=text.region,
        region_confidence=_probability(text.region_confidence),
        legibility=_probability(text.legibility),
        sharpness=float(plate.sharpness) if math.isfinite(plate.sharpness) else 0.0,
        crop_jpeg=_crop_jpeg(plate.crop),
    )


def _probability(value: float) -> float:
    return min(1.0, max(0.0, float(value))) if math.isfinite(value) else 0.0


def _crop_jpeg(crop: Image) -> bytes:
    if crop.size == 0:
        return b""
    done, data = cv2.imencode(".jpg", crop, [cv2.IMWRITE_JPEG_QUALITY, CROP_QUALITY])
    return data.tobytes() if done else b""


def mean_luma(image: Image) -> float:
    """Mean grey level 0..255, from about every eighth pixel of every eighth row."""
    height, width = image.shape[:2]
    few = (max(1, width // _LUMA_STEP), max(1, height // _LUMA_STEP))
    blue, green, red, _ = cv2.mean(cv2.resize(image, few, interpolation=cv2.INTER_NEAREST))
    return round(float(0.114 * blue + 0.587 * green + 0.299 * red), 2)


def encode_message(reads: FrameReads) -> bytes:
    """The message's bytes; crops are left out when the topic would not take it with them.

    Raises:
        ValueError: it is too large even then.
    """
    data = encode_reads(reads)
    if len(data) > _MAX_MESSAGE:
        data = encode_reads(_without_crops(reads))
    if len(data) > _MAX_MESSAGE:
        raise ValueError(f"{len(reads.reads)} plates make a message of {len(data)} bytes, {_MAX_MESSAGE} are allowed")
    return data


def _without_crops(reads: FrameReads) -> FrameReads:
    return replace(reads, reads=tuple(replace(plate, crop_jpeg=b"") for plate in reads.reads))
