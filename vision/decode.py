"""Compressed bytes to a picture: JPEG, PNG, WebP, BMP, TIFF, GIF, AVIF, JPEG 2000, PPM in, BGR uint8 out.

The header is read first, so a picture of absurd size is refused before anything is allocated. Outcomes:
grey, palette and one-bit pictures become BGR; 16 bits become 8 (the high byte); an alpha plane is dropped; CMYK and Lab
are converted by their colour model; a stored orientation is applied, so that pixels (and corners reported in them) are
those of the upright photograph; of an animation the first picture is taken. A cut-off file is an error, never half a
picture.

Errors: `DecodeError` (a ValueError) whose `reason` is one of `REASONS`.
"""

import io
import warnings
from pathlib import Path
from typing import Literal, get_args

import cv2
import numpy as np
from PIL import Image as PillowImage
from PIL import ImageOps, UnidentifiedImageError

from vision.types import Image

Reason = Literal["empty", "not-an-image", "too-large", "truncated", "unsupported"]
REASONS: tuple[Reason, ...] = get_args(Reason)
MAX_PIXELS = 100_000_000
"""Pictures of more pixels are refused: 300 MB when decoded."""

PillowImage.init()
_WANTED = ("JPEG", "MPO", "PNG", "WEBP", "BMP", "TIFF", "GIF", "AVIF", "JPEG2000", "PPM")
# Pillow's own build says which it has; naming one that it lacks is an error there
_FORMATS = tuple(name for name in _WANTED if name in PillowImage.OPEN)
# OpenCV knows neither these colours nor how an AVIF picture is to be turned
_MODES_BY_PILLOW = frozenset({"CMYK", "LAB", "YCCK"})
_FORMATS_BY_PILLOW = frozenset({"AVIF"})
# what Pillow raises of bytes that it cannot make sense of; the last is its AVIF library's
_DAMAGED = (OSError, ValueError, SyntaxError, EOFError, RuntimeError)
# Pillow does not miss the end of these
_ENDS = {"PNG": b"IEND\xaeB`\x82", "GIF": b";"}
# our own limit is checked on the header; Pillow's warning about the same would only add a line
warnings.filterwarnings("ignore", category=PillowImage.DecompressionBombWarning)


class DecodeError(ValueError):
    """The bytes are no usable picture; `reason` is fit for a dead letter, the message says more."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def picture_size(data: bytes, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """Width and height in the stored order, from the header alone; raises `DecodeError`."""
    with _header(data, max_pixels) as header:
        return header.size


def decode_image(data: bytes, max_pixels: int = MAX_PIXELS) -> Image:
    """The upright picture, height x width x 3, BGR; raises `DecodeError`."""
    with _header(data, max_pixels) as header:
        size = header.size
        if header.mode in _MODES_BY_PILLOW or header.format in _FORMATS_BY_PILLOW:
            return _decode_by_pillow(header)
        kind = header.format or "picture"
    picture = _decode_by_opencv(data)
    if picture is None:
        told = f"{kind} picture of {size[0]} x {size[1]}"
        if _whole(data, kind):
            raise DecodeError("unsupported", f"this {told} uses a variant that cannot be decoded")
        raise DecodeError("truncated", f"{told} is cut off or damaged: {len(data)} bytes")
    return picture


def read_image(path: Path, max_pixels: int = MAX_PIXELS) -> Image:
    """Decode a file; raises `DecodeError` that names it, or `OSError` when it cannot be read."""
    try:
        return decode_image(path.read_bytes(), max_pixels)
    except DecodeError as error:
        raise DecodeError(error.reason, f"{path}: {error}") from error


def _header(data: bytes, max_pixels: int) -> PillowImage.Image:
    if not data:
        raise DecodeError("empty", "no bytes where a picture was expected")
    try:
        header = PillowImage.open(io.BytesIO(data), formats=_FORMATS)
    except PillowImage.DecompressionBombError as error:
        raise DecodeError("too-large", f"picture refused: more than {max_pixels} pixels ({error})") from error
    except UnidentifiedImageError:
        raise DecodeError("not-an-image", f"{len(data)} bytes that are no picture of a known kind") from None
    except _DAMAGED as error:
        raise DecodeError("truncated", f"the picture's header is damaged: {error}") from error
    width, height = header.size
    if width * height > max_pixels:
        raise DecodeError("too-large", f"picture refused: {width} x {height} is more than {max_pixels} pixels")
    return header


def _decode_by_opencv(data: bytes) -> Image | None:
    """None for what OpenCV cannot make a colour picture of."""
    try:
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:  # such as a side of more than 2^20 pixels
        return None
    # of a grey PFM picture it gives one plane
    return picture if picture is not None and picture.ndim == 3 else None  # type: ignore[return-value]


def _decode_by_pillow(header: PillowImage.Image) -> Image:
    try:
        upright = ImageOps.exif_transpose(header).convert("RGB")
    except _DAMAGED as error:
        raise DecodeError("truncated", f"{header.format} picture is cut off or damaged: {error}") from error
    return np.ascontiguousarray(np.asarray(upright)[:, :, ::-1])


def _whole(data: bytes, kind: str) -> bool:
    """Whether Pillow can read all of what OpenCV refused: then it is the variant, not the bytes, that is at fault."""
    if not data.endswith(_ENDS.get(kind, b"")):
        return False
    try:
        with PillowImage.open(io.BytesIO(data), formats=(kind,)) as picture:
            picture.load()
    except _DAMAGED:
        return False
    return True
