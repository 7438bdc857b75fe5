"""A batch through a pipeline: outcomes in order, one bad picture harms no other."""

import math
from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import pytest

from schemas.codec import decode_reads
from schemas.read import FrameReads, PlateRead
from tests.workers import fakes
from tests.workers.fakes import BarcodePipeline, jpeg, record
from tests.workers.test_record_decode import group
from vision.types import Image, PlateResult
from workers.reading import (
    BatchResult,
    Dead,
    ReaderBrokenError,
    Reads,
    encode_message,
    mean_luma,
    plate_read,
    read_batch,
    read_pictures,
)
from workers.settings import Limits

LIMITS = Limits(chunk_pictures=8)


def messages(result: BatchResult, index: int) -> list[FrameReads]:
    outcome = result.outcomes[index]
    assert isinstance(outcome, Reads)
    decoded = [decode_reads(data) for data in outcome.messages]
    assert all(isinstance(message, FrameReads) for message in decoded)
    return decoded  # type: ignore[return-value]


def test_one_message_a_picture_with_all_that_is_known() -> None:
    source = record(jpeg(4711), seq=33, offset=12, still=True)
    result = read_batch([source], BarcodePipeline(), LIMITS)
    (message,) = messages(result, 0)
    (plate,) = message.reads
    assert (message.camera_id, message.seq, message.captured_at) == ("cam-1", 33, 1_700_000_006_600)
    assert (message.published_at, message.frame_partition, message.frame_offset) == (1_700_000_000_500, 0, 12)
    assert (message.width, message.height, message.frame_index, message.still) == (320, 192, 0, True)
    assert (message.lat, message.lon, message.heading, message.speed) == (48.1, 11.5, 90.0, 13.9)
    assert (message.model_version, message.frame_sha256) == ("barcode-1", dict(source.headers)["sha256"].decode())
    assert message.luma == pytest.approx(124, abs=8)
    assert (plate.plate, plate.confidence, plate.detection_confidence) == ("AB04711", 0.9, pytest.approx(0.95))
    assert plate.box == (10.0, 20.0, 100.0, 30.0)
    assert plate.corners == ((10.0, 20.0), (110.0, 20.0), (110.0, 50.0), (10.0, 50.0))
    assert [candidate.plate for candidate in plate.candidates] == ["AB04711", "AB0471X"]
    assert len(plate.char_probs) == 7
    assert (plate.region, plate.region_confidence, plate.legibility, plate.sharpness) == ("DE", 0.7, 1.0, 55.0)
    crop = cv2.imdecode(np.frombuffer(plate.crop_jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert crop is not None
    assert crop.shape == (48, 144, 3)


def test_a_picture_without_a_plate_is_a_message_too() -> None:
    (message,) = messages(read_batch([record(jpeg(fakes.EMPTY))], BarcodePipeline(), LIMITS), 0)
    assert message.reads == ()


def test_bad_records_have_their_reason_and_neighbours_are_read() -> None:
    good = jpeg(5)
    records = [
        record(good, offset=0),
        record(good[:-300], offset=1),
        record(b"plain text", offset=2),
        record(good, offset=3, sha256="ab" * 32),
        record(good, offset=4, width=30_000, height=30_000),
        record(good, offset=5)._replace(headers=[("schema", b"9")]),
        record(good, offset=6),
    ]
    outcomes = read_batch(records, BarcodePipeline(), LIMITS).outcomes
    reasons = [outcome.reason if isinstance(outcome, Dead) else "" for outcome in outcomes]
    assert reasons == ["", "truncated", "not_an_image", "wrong_sha256", "too_large", "unknown_schema", ""]


def test_a_group_gives_a_message_per_picture_and_counts_places() -> None:
    batch = [record(jpeg(1)), record(group(range(20, 40)), seq=100, codec="h264", frames=20, lat=99.0)]
    pipeline = BarcodePipeline()
    result = read_batch(batch, pipeline, LIMITS)
    found = messages(result, 1)
    assert [message.seq for message in found] == list(range(100, 120))
    assert [message.frame_index for message in found] == list(range(20))
    assert [message.reads[0].plate for message in found] == [f"AB{n:05d}" for n in range(20, 40)]
    assert {message.lat for message in found} == {None}
    assert result.bad_positions == 1
    assert pipeline.batches == [8, 8, 5], "a long group is read in chunks, across records"
    assert set(result.seconds) == {"decode", "vision", "encode"}


def test_a_group_that_breaks_late_gives_nothing() -> None:
    batch = [record(group(range(20)), codec="h264", frames=25), record(jpeg(3))]
    result = read_batch(batch, BarcodePipeline(), LIMITS)
    assert isinstance(result.outcomes[0], Dead)
    assert result.outcomes[0].reason == "bad_video"
    assert messages(result, 1)[0].reads[0].plate == "AB00003"


def test_a_picture_that_the_pipeline_cannot_read_is_found() -> None:
    numbers = [1, 2, 3, fakes.RAISES, 5, 6, 7, 8, 9]
    result = read_batch([record(jpeg(n), seq=n, offset=n) for n in numbers], BarcodePipeline(), LIMITS)
    dead = [outcome for outcome in result.outcomes if isinstance(outcome, Dead)]
    assert dead == [
        Dead("internal_error", "RuntimeError: shape mismatch in layer 3", f"cam-1/{fakes.RAISES}"),
    ]
    assert result.outcomes.index(dead[0]) == 3
    plates = [messages(result, i)[0].reads[0].plate for i in range(9) if i != 3]
    assert plates == [f"AB{n:05d}" for n in numbers if n != fakes.RAISES]


class Broken:
    """Fails on everything, as a lost GPU does."""

    model_version = "broken-1"

    def read(self, images: Sequence[Image], stills: Sequence[bool] | None = None) -> list[list[PlateResult]]:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")


def test_a_pipeline_that_fails_on_everything_is_not_the_frames_fault() -> None:
    with pytest.raises(ReaderBrokenError, match="CUDA error"):
        read_batch([record(jpeg(n)) for n in range(4)], Broken(), LIMITS)


class Short:
    """Forgets a picture."""

    model_version = "short-1"

    def read(self, images: Sequence[Image], stills: Sequence[bool] | None = None) -> list[list[PlateResult]]:
        return [[] for _ in images[1:]] if len(images) > 1 else [[]]


def test_a_result_too_few_is_not_shifted_to_the_neighbour() -> None:
    assert read_pictures([fakes.picture(1), fakes.picture(2)], [True, False], Short()) == [[], []]


def test_the_pipeline_is_told_which_pictures_are_stills() -> None:
    pipeline = BarcodePipeline()
    read_batch([record(jpeg(1), still=True), record(jpeg(2)), record(jpeg(3), still=True)], pipeline, LIMITS)
    assert pipeline.stills == [True, False, True]


def one_plate() -> PlateResult:
    return BarcodePipeline().read([fakes.picture(1)])[0][0]


@pytest.mark.parametrize(("value", "expected"), [(1.0000002, 1.0), (-0.1, 0.0), (math.nan, 0.0), (0.5, 0.5)])
def test_probabilities_stay_within_bounds(value: float, expected: float) -> None:
    plate = one_plate()
    read = plate_read(replace(plate, text=replace(plate.text, confidence=value)))
    assert read.confidence == expected


def test_corners_that_are_no_numbers_are_refused() -> None:
    plate = one_plate()
    corners = plate.detection.corners.copy()
    corners[2, 1] = math.nan
    with pytest.raises(ValueError, match="corners"):
        plate_read(replace(plate, detection=replace(plate.detection, corners=corners)))


def test_crops_are_left_out_before_a_message_is_too_large() -> None:
    (message,) = messages(read_batch([record(jpeg(1))], BarcodePipeline(), LIMITS), 0)
    noise = np.random.default_rng(1).bytes(60_000)
    many = tuple(
        PlateRead(
            plate="AB1", confidence=0.5, detection_confidence=0.5, box=(0, 0, 1, 1), corners=p.corners, crop_jpeg=noise
        )
        for p in message.reads * 100
    )
    from msgspec.structs import replace as with_fields

    small = decode_reads(encode_message(with_fields(message, reads=many)))
    assert isinstance(small, FrameReads)
    assert len(small.reads) == 100
    assert {plate.crop_jpeg for plate in small.reads} == {b""}
    assert decode_reads(encode_message(message)) == message


@pytest.mark.parametrize(("colour", "luma"), [((0, 0, 0), 0), ((255, 255, 255), 255), ((0, 255, 0), 149.7)])
def test_luma(colour: tuple[int, int, int], luma: float) -> None:
    assert mean_luma(np.full((50, 70, 3), colour, np.uint8)) == pytest.approx(luma, abs=0.1)
