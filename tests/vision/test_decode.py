"""Every odd picture has one stated outcome: a BGR uint8 picture of the right size and colour, or a DecodeError."""

import io
import struct

import cv2
import numpy as np
import pytest
from PIL import Image as PillowImage

from vision.decode import DecodeError, decode_image, picture_size, read_image

HEIGHT, WIDTH = 40, 60


def colourful() -> np.ndarray:
    """BGR: left half mostly blue, right half mostly red, so that mirrored, swapped or inverted results show."""
    picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    picture[:, : WIDTH // 2] = (220, 60, 30)
    picture[:, WIDTH // 2 :] = (20, 90, 200)
    return picture


def saved(mode: str, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    PillowImage.fromarray(colourful()[:, :, ::-1]).convert(mode).save(buffer, kind, **options)
    return buffer.getvalue()


def encoded(extension: str, picture: np.ndarray) -> bytes:
    done, data = cv2.imencode(extension, picture)
    assert done
    return data.tobytes()


def close(picture: np.ndarray, wanted: np.ndarray, tolerance: float) -> bool:
    """Compared away from the edge between the halves, where JPEG rings."""
    error = np.abs(picture.astype(int) - wanted.astype(int))
    return bool(error[:, 4 : WIDTH // 2 - 6].max() <= tolerance and error[:, WIDTH // 2 + 6 : -4].max() <= tolerance)


@pytest.mark.parametrize(
    ("data", "tolerance"),
    [
        pytest.param(saved("RGB", "JPEG", quality=95), 8, id="jpeg"),
        pytest.param(saved("RGB", "JPEG", quality=95, progressive=True), 8, id="progressive jpeg"),
        pytest.param(saved("CMYK", "JPEG", quality=95), 12, id="cmyk jpeg"),
        pytest.param(saved("RGB", "PNG"), 0, id="png"),
        pytest.param(saved("RGBA", "PNG"), 0, id="rgba png"),
        pytest.param(saved("P", "PNG"), 60, id="palette png"),
        pytest.param(saved("RGB", "WEBP", lossless=True), 1, id="webp"),
        pytest.param(saved("RGB", "BMP"), 0, id="bmp"),
        pytest.param(saved("RGB", "TIFF"), 0, id="tiff"),
        pytest.param(saved("CMYK", "TIFF"), 2, id="cmyk tiff"),
        pytest.param(saved("RGB", "GIF"), 60, id="gif"),
        pytest.param(saved("RGB", "AVIF", quality=95), 12, id="avif"),
        pytest.param(saved("RGBA", "AVIF", quality=95), 12, id="avif with alpha"),
        pytest.param(saved("RGB", "PPM"), 0, id="ppm"),
        pytest.param(encoded(".png", colourful().astype(np.uint16) * 257), 1, id="16-bit png"),
        pytest.param(encoded(".tiff", colourful().astype(np.uint16) * 257), 1, id="16-bit tiff"),
    ],
)
def test_colour_pictures_become_bgr(data: bytes, tolerance: float) -> None:
    picture = decode_image(data)
    assert picture.dtype == np.uint8
    assert picture.shape == (HEIGHT, WIDTH, 3)
    assert close(picture, colourful(), tolerance)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(saved("L", "JPEG", quality=95), id="grey jpeg"),
        pytest.param(saved("L", "PNG"), id="grey png"),
        pytest.param(saved("LA", "PNG"), id="grey png with alpha"),
        pytest.param(encoded(".png", cv2.cvtColor(colourful(), cv2.COLOR_BGR2GRAY).astype(np.uint16) * 257), id="16"),
    ],
)
def test_grey_pictures_become_bgr_of_three_equal_planes(data: bytes) -> None:
    picture = decode_image(data)
    grey = cv2.cvtColor(cv2.cvtColor(colourful(), cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    assert picture.shape == (HEIGHT, WIDTH, 3)
    assert (picture[..., 0] == picture[..., 2]).all()
    assert close(picture, grey, 8)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize(("orientation", "turn"), [(3, cv2.ROTATE_180), (6, cv2.ROTATE_90_CLOCKWISE), (8, 2)])
def test_exif_orientation_is_applied(kind: str, orientation: int, turn: int) -> None:
    exif = PillowImage.Exif()
    exif[0x0112] = orientation
    picture = decode_image(saved("RGB", kind, exif=exif))
    wanted = cv2.rotate(colourful(), turn)
    assert picture.shape == wanted.shape
    assert np.abs(picture.astype(int) - wanted.astype(int)).mean() < 6


def test_exif_orientation_is_applied_to_cmyk_too() -> None:
    exif = PillowImage.Exif()
    exif[0x0112] = 6
    assert decode_image(saved("CMYK", "JPEG", exif=exif)).shape == (WIDTH, HEIGHT, 3)


@pytest.mark.parametrize(("orientation", "flip"), [(2, 1), (4, 0)])
def test_a_mirrored_avif_is_mirrored_back(orientation: int, flip: int) -> None:
    exif = PillowImage.Exif()
    exif[0x0112] = orientation
    picture = decode_image(saved("RGB", "AVIF", exif=exif))
    assert np.abs(picture.astype(int) - cv2.flip(colourful(), flip).astype(int)).mean() < 6


@pytest.mark.parametrize("size", [(1, 1), (1, 10_000), (10_000, 1)])
def test_extreme_shapes_decode(size: tuple[int, int]) -> None:
    assert decode_image(encoded(".png", np.full((*size, 3), 7, np.uint8))).shape == (*size, 3)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "AVIF"])
@pytest.mark.parametrize("kept", [0.3, 0.7, 0.95])
def test_cut_off_files_are_errors_not_half_pictures(kind: str, kept: float) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (80, 120, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    PillowImage.fromarray(noise).save(buffer, kind)
    data = buffer.getvalue()
    with pytest.raises(DecodeError) as caught:
        decode_image(data[: int(kept * len(data))])
    assert caught.value.reason in ("truncated", "not-an-image")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("kind", "short"), [("JPEG", 2), ("PNG", 1), ("PNG", 20), ("GIF", 1)])
def test_a_file_that_lacks_only_its_last_bytes_is_truncated(kind: str, short: int) -> None:
    data = saved("RGB", kind)
    with pytest.raises(DecodeError) as caught:
        decode_image(data[:-short])
    assert caught.value.reason == "truncated"


def test_a_cut_off_cmyk_jpeg_is_truncated() -> None:
    data = saved("CMYK", "JPEG")
    with pytest.raises(DecodeError) as caught:
        decode_image(data[: len(data) // 2])
    assert caught.value.reason == "truncated"


@pytest.mark.parametrize("box", [b"pitm", b"mdat"])
def test_a_damaged_avif_is_truncated(box: bytes) -> None:
    data = bytearray(saved("RGB", "AVIF"))
    begin = data.index(box) + 4
    data[begin : begin + 6] = bytes(6)
    with pytest.raises(DecodeError) as caught:
        decode_image(bytes(data))
    assert caught.value.reason == "truncated"


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"", "empty"), (b"hello, I am no picture", "not-an-image"), (bytes(5000), "not-an-image")],
)
def test_what_is_no_picture_is_said_to_be_none(data: bytes, reason: str) -> None:
    with pytest.raises(DecodeError) as caught:
        decode_image(data)
    assert caught.value.reason == reason


def jpeg_that_claims(width: int, height: int) -> bytes:
    data = saved("RGB", "JPEG")
    start = data.index(b"\xff\xc0")
    return data[: start + 5] + struct.pack(">HH", height, width) + data[start + 9 :]


@pytest.mark.parametrize("size", [(30_000, 30_000), (11_000, 10_000)])
def test_absurd_sizes_are_refused_by_the_header(size: tuple[int, int]) -> None:
    with pytest.raises(DecodeError) as caught:
        decode_image(jpeg_that_claims(*size))
    assert caught.value.reason == "too-large"


def blank(mode: str, size: tuple[int, int], kind: str) -> bytes:
    buffer = io.BytesIO()
    PillowImage.new(mode, size).save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(blank("F", (30, 20), "TIFF"), id="float tiff"),
        pytest.param(b"Pf\n4 3\n-1.0\n" + bytes(48), id="float ppm"),
        pytest.param(blank("RGB", (1_100_000, 1), "PPM"), id="wide ppm"),
        pytest.param(blank("RGB", (1_100_000, 1), "BMP"), id="wide bmp"),
    ],
)
def test_what_cannot_be_decoded_is_unsupported_and_says_so(data: bytes) -> None:
    with pytest.raises(DecodeError) as caught:
        decode_image(data)
    assert caught.value.reason == "unsupported"
    assert "\n" not in str(caught.value)


def test_an_absurd_side_without_its_pixels_is_truncated() -> None:
    with pytest.raises(DecodeError) as caught:
        decode_image(b"P6 1100000 1 255\n")
    assert caught.value.reason == "truncated"


def test_size_is_told_without_decoding() -> None:
    assert picture_size(saved("RGB", "PNG")) == (WIDTH, HEIGHT)


def test_a_broken_file_is_named(tmp_path) -> None:
    path = tmp_path / "broken.jpg"
    path.write_bytes(saved("RGB", "JPEG")[:300])
    with pytest.raises(DecodeError, match=r"broken\.jpg"):
        read_image(path)
    with pytest.raises(OSError, match="missing"):
        read_image(tmp_path / "missing.jpg")
