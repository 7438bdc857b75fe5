"""The pipeline: one batch of detection, one batch of reading, results handed back to their pictures."""

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import pytest

from vision.pipeline import READABLE, PlatePipeline, sharpness
from vision.registry import ModelError
from vision.types import Detection, Image, PlateText


class MarkedDetector:
    """True to the contract: finds the upright bright boxes of a picture, largest first, counting its calls."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def detect(self, images: Sequence[Image]) -> list[list[Detection]]:
        self.batches.append(len(images))
        return [self._one(image) for image in images]

    def _one(self, image: Image) -> list[Detection]:
        _, _, stats, _ = cv2.connectedComponentsWithStats((image.max(axis=2) > 60).astype(np.uint8))
        found = []
        for x, y, w, h, area in sorted(stats[1:].tolist(), key=lambda row: -row[4]):
            corners = np.array([[x, y], [x + w, y], [x + w, y + h], [x, y + h]], np.float32)
            found.append(Detection(corners, min(1.0, area / 10_000)))
        return found


class ToneReader:
    """True to the contract: "reads" a crop as its brightness in tens, counting its calls."""

    crop_size = (24, 64)

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.again: Sequence[bool] | None = None

    def read(self, crops: Sequence[Image], again: Sequence[bool] | None = None) -> list[PlateText]:
        self.batches.append(len(crops))
        self.again = again
        assert all(crop.shape == (24, 64, 3) and crop.dtype == np.uint8 for crop in crops)
        texts = [f"T{int(crop[8:16, 20:44].mean() + 0.5)}" for crop in crops]
        return [PlateText(text, 0.9, (), ((text, 0.9),)) for text in texts]


def picture(size: tuple[int, int], *boxes: tuple[int, int, int, int, int]) -> Image:
    """Black, with boxes x, y, width, height, tone."""
    canvas = np.zeros((*size, 3), np.uint8)
    for x, y, w, h, tone in boxes:
        canvas[y : y + h, x : x + w] = tone
    return canvas


PICTURES = [
    picture((100, 200), (10, 10, 60, 20, 100), (100, 50, 40, 12, 150)),
    picture((300, 90)),
    picture((64, 64), (5, 5, 30, 10, 200)),
    picture((200, 400), *((20 + 60 * k, 30, 40, 16, 70 + 10 * k) for k in range(6))),
]


@pytest.fixture
def pipeline() -> PlatePipeline:
    return PlatePipeline(MarkedDetector(), ToneReader(), "marked+tone")


def test_results_return_to_their_pictures_in_order(pipeline: PlatePipeline) -> None:
    texts = [[plate.text.plate for plate in plates] for plates in pipeline.read(PICTURES)]
    assert texts[0] == ["T100", "T150"]
    assert texts[1] == []
    assert texts[2] == ["T200"]
    assert sorted(texts[3]) == sorted(f"T{70 + 10 * k}" for k in range(6))


def test_a_still_tells_no_text_that_it_doubts_and_a_frame_does() -> None:
    class DoubtfulReader(ToneReader):
        def read(self, crops: Sequence[Image], again: Sequence[bool] | None = None) -> list[PlateText]:
            return [
                replace(
                    text, confidence=share, candidates=((text.plate, share),), char_probs=(((text.plate[0], 1.0),),)
                )
                for text, share in zip(super().read(crops, again), (READABLE, READABLE - 0.01), strict=True)
            ]

    pipeline = PlatePipeline(MarkedDetector(), DoubtfulReader(), "marked+doubtful")
    sure, doubtful = pipeline.read(PICTURES[:1])[0]
    assert (sure.text.plate, sure.text.confidence) == ("T100", READABLE)
    assert (doubtful.text.plate, doubtful.text.confidence, doubtful.text.char_probs) == ("", 0.0, ())
    assert doubtful.text.candidates == (("T150", READABLE - 0.01),)
    assert [plate.text.plate for plate in pipeline.read(PICTURES[:1], [False])[0]] == ["T100", "T150"]


def test_a_still_without_a_text_is_looked_at_again() -> None:
    class OneMore(MarkedDetector):
        """Finds the same plates and one on the black ground."""

        def _one(self, image: Image) -> list[Detection]:
            return [
                *super()._one(image),
                Detection(np.array([[60, 70], [90, 70], [90, 80], [60, 80]], np.float32), 0.6),
            ]

    class InThrees(ToneReader):
        """Doubts what it is given alone or in pairs."""

        def read(self, crops: Sequence[Image], again: Sequence[bool] | None = None) -> list[PlateText]:
            sure = 0.9 if len(crops) == 3 else 0.1
            return [replace(text, confidence=sure) for text in super().read(crops, again)]

    coarse = OneMore()
    pipeline = PlatePipeline(MarkedDetector(), InThrees(), "marked+threes", coarse=coarse)
    assert [plate.text.plate for plate in pipeline.read(PICTURES[:1], [False])[0]] == ["T100", "T150"]
    assert coarse.batches == [], "a video has its next frame"
    again = pipeline.read(PICTURES[:1])[0]
    assert coarse.batches == [1]
    assert [plate.text.plate for plate in again] == ["T100", "T150", "T0"], "what was found twice is told once"
    assert len(pipeline.read([PICTURES[3], PICTURES[0]])) == 2
    assert coarse.batches == [1, 2], "both are doubted among eight"


def test_detection_and_reading_are_one_batch_each(pipeline: PlatePipeline) -> None:
    pipeline.read(PICTURES)
    assert pipeline.detector.batches == [4]
    assert pipeline.reader.batches == [9]
    assert pipeline.stats.pictures == 4
    assert pipeline.stats.plates == 9


def test_a_batch_gives_what_single_pictures_give(pipeline: PlatePipeline) -> None:
    together = pipeline.read(PICTURES)
    for image, batched in zip(PICTURES, together, strict=True):
        alone = pipeline.read([image])[0]
        assert [plate.text for plate in alone] == [plate.text for plate in batched]
        for a, b in zip(alone, batched, strict=True):
            assert (a.crop == b.crop).all()
            assert (a.detection.corners == b.detection.corners).all()
            assert a.sharpness == b.sharpness


def test_only_the_plates_of_stills_may_be_looked_at_again(pipeline: PlatePipeline) -> None:
    pipeline.read(PICTURES, [True, False, False, True])
    assert pipeline.reader.again == [True, True, False, *[True] * 6]
    pipeline.read(PICTURES)
    assert pipeline.reader.again is None, "all may"


def test_nothing_found_and_nothing_given(pipeline: PlatePipeline) -> None:
    assert pipeline.read([]) == []
    assert pipeline.read([picture((50, 50))]) == [[]]
    assert pipeline.reader.batches == []


def test_sharpness_falls_with_blur() -> None:
    crop = np.random.default_rng(0).integers(0, 256, (24, 64, 3), dtype=np.uint8)
    assert sharpness(crop) > 5 * sharpness(cv2.GaussianBlur(crop, (0, 0), 2))
    assert sharpness(np.full((24, 64, 3), 90, np.uint8)) == 0


def test_unknown_models_are_named_before_anything_is_loaded() -> None:
    with pytest.raises(ModelError, match="unknown detector 'nonesuch'"):
        PlatePipeline.load(detector="nonesuch")
    with pytest.raises(ModelError, match="unknown reader 'nonesuch'"):
        PlatePipeline.load(reader="nonesuch")
