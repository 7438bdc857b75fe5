"""The installed models on what a street can show: thirty plates at once, and texts that are no plates."""

import cv2
import numpy as np
import pytest

from vision.pipeline import PlatePipeline
from vision.plates import plate_with_text, render_plate
from vision.types import Image

SIGNS = (
    "PIZZA 24", "STOP", "0722 555 0199", "TAXI", "MARIA'S BAR", "SALE -50%", "WWW.SHOP.RO", "EXIT 12", "PARKING",
    "A1 BUCURESTI", "CALL 555-0142", "BUS 41",
)  # fmt: skip


@pytest.fixture(scope="module")
def pipeline() -> PlatePipeline:
    return PlatePipeline.load("cpu")


def street(rng: np.random.Generator) -> Image:
    """Colours without shapes, with some noise."""
    patches = rng.integers(60, 150, (9, 16, 3)).astype(np.uint8)
    ground = cv2.resize(patches, (1280, 720), interpolation=cv2.INTER_CUBIC)
    return np.clip(ground + rng.normal(0, 6, ground.shape), 0, 255).astype(np.uint8)


def test_thirty_plates_in_one_picture_are_read(pipeline: PlatePipeline) -> None:
    rng = np.random.default_rng(5)
    picture, texts = street(rng), []
    for k in range(30):
        text = f"B{100 + k * 7}" + "".join("ACDEHKLMPRTVXZ"[(k * 5 + i * 3) % 14] for i in range(3))
        x, y = 40 + k % 6 * 205, 40 + k // 6 * 135
        paint = tuple(int(value) for value in rng.integers(10, 120, 3))
        cv2.rectangle(picture, (x - 20, y - 30), (x + 150, y + 70), paint, -1)
        plate = render_plate(plate_with_text(text, "RO"))
        picture[y : y + 30, x : x + 130] = cv2.resize(plate, (130, 30), interpolation=cv2.INTER_AREA)
        texts.append(text)
    found = [result.text.plate for result in pipeline.read([np.asarray(cv2.GaussianBlur(picture, (0, 0), 0.6))])[0]]
    assert len(found) == len(set(found)), "a plate is told twice"
    assert set(found) <= set(texts)
    assert len(found) >= 27


def boards(rng: np.random.Generator) -> Image:
    """A street with every text of `SIGNS` on a board of its own size and colour."""
    picture = street(rng)
    for k, text in enumerate(SIGNS):
        x, y, size = 40 + k % 4 * 310, 60 + k // 4 * 210, 0.6 + 0.25 * (k % 4)
        (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_DUPLEX, size, 2)
        board = tuple(int(value) for value in rng.integers(0, 255, 3))
        ink = (255, 255, 255) if sum(board) < 380 else (0, 0, 0)
        cv2.rectangle(picture, (x - 12, y - height - 12), (x + width + 12, y + 14), board, -1)
        cv2.putText(picture, text, (x, y), cv2.FONT_HERSHEY_DUPLEX, size, ink, 2, cv2.LINE_AA)
    return picture


def test_few_signs_and_phone_numbers_are_taken_for_plates(pipeline: PlatePipeline) -> None:
    """A small board that looks like a plate is read as one about once in seven: its looks alone say what it is."""
    pictures = [boards(np.random.default_rng(seed)) for seed in range(8)]
    found = [result.text.plate for results in pipeline.read(pictures) for result in results if result.text.plate]
    assert len(found) <= len(SIGNS) * len(pictures) / 4, found
