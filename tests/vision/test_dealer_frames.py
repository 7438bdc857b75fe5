"""Frames around plates: they lie around the plate, hide at most its edge, and say words."""

import cv2
import numpy as np

from vision.training.framing import framed
from vision.training.pasting import Label, lay_plate
from vision.types import Image

RED = (0, 0, 255)


def _plate(height: int = 100, width: int = 200) -> Image:
    return np.full((height, width, 3), RED, np.uint8)


def test_the_plate_is_where_its_corners_say_and_the_frame_hides_only_its_edge() -> None:
    rng = np.random.default_rng(1)
    grown, hidden = 0, 0
    for _ in range(60):
        picture, corners = framed(_plate(), rng)
        (left, top), (right, bottom) = corners[0].astype(int), corners[2].astype(int)
        assert (right - left, bottom - top) == (200, 100)
        red = (picture == RED).all(axis=2)
        assert red[top + 10 : bottom - 10, left + 6 : right - 6].all(), "the frame hides more than the edge"
        outside = red.copy()
        outside[top:bottom, left:right] = False
        assert not outside.any(), "the plate reaches out of its corners"
        grown += picture.shape[0] > 100
        hidden += not red[top : top + 3, left:right].any()
    assert grown > 50
    assert 10 < hidden < 50, "some frames hide the upper edge, some do not"


def test_a_small_plate_is_enlarged_so_that_words_fit_and_bare_frames_occur() -> None:
    rng = np.random.default_rng(2)
    spreads = []
    for _ in range(60):
        picture, corners = framed(_plate(20, 60), rng)
        assert np.allclose(corners[2] - corners[0], (180, 60))
        upper = picture[: int(corners[0, 1])]
        if upper.shape[0] >= 8:
            spreads.append(float(upper.std(axis=(0, 1)).max()))
    assert max(spreads) > 30, "no frame ever says anything"
    assert min(spreads) < 15, "every frame says something"


def test_a_framed_plate_laid_into_a_picture_keeps_its_corners() -> None:
    quad = np.array([[100, 80], [190, 86], [189, 130], [99, 123]], np.float32)
    extents = []
    for share in (0.0, 1.0):
        tile = np.full((240, 320, 3), 120, np.uint8)
        label = lay_plate(tile, _plate(), quad, np.random.default_rng(3), Label(quad), share)
        assert np.array_equal(label.corners, quad)
        extents.append(cv2.boundingRect((tile != 120).any(axis=2).astype(np.uint8)))
    (_, _, width, height), (_, _, wider, higher) = extents
    assert wider > width
    assert higher > height
