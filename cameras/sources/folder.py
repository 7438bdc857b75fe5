"""A folder of pictures: stills, each perhaps the only look at its vehicle. JPEG files travel as they are."""

import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from cameras import sequence as numbers
from cameras.encoder import encode_within
from cameras.sources.base import MAX_VALUE_BYTES, SourceError, SourceMessage, natural_key
from plumbing.clock import Clock

SUFFIXES = frozenset(
    {
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".mpo",
        ".png",
        ".webp",
        ".bmp",
        ".tif",
        ".tiff",
        ".gif",
        ".ppm",
        ".pgm",
        ".avif",
    }
)
_ORIENTATION = 0x0112
MAX_PIXELS = 150_000_000
"""Larger pictures in other formats than JPEG are not decoded: they would need gigabytes."""


def list_pictures(folder: Path, suffixes: frozenset[str] = SUFFIXES) -> list[Path]:
    """Files below `folder` with these endings, sub-folders included, hidden ones left out, in natural order."""
    found = [
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in suffixes
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    ]
    return sorted(found, key=lambda path: natural_key(str(path.relative_to(folder))))


class StillPictures:
    """The given files as one camera's stills, `interval_ms` apart when played in real time.

    A file that cannot be read or is no picture gives a line in `skipped`. A JPEG whose header is sound is
    sent even if the rest is damaged: the worker keeps it as a dead letter, where it can be looked at.
    """

    live = False

    def __init__(
        self,
        camera_id: str,
        paths: Sequence[Path],
        *,
        sequence: numbers.Sequence,
        clock: Clock,
        interval_ms: int = 200,
        name: str = "",
    ) -> None:
        if not paths:
            raise SourceError(f"{name or camera_id}: no pictures")
        self.camera_id = camera_id
        self.name = name or str(paths[0])
        self.total: int | None = len(paths)
        self.skipped: list[str] = []
        self.notes: list[str] = []
        self._paths = list(paths)
        self._sequence = sequence
        self._clock = clock
        self._interval_ms = interval_ms
        self._closed = False

    def __iter__(self) -> Iterator[SourceMessage]:
        """Every picture once; the time of sending becomes its capture time."""
        due = self._clock.now_ms()
        for path in self._paths:
            if self._closed:
                return
            try:
                value, width, height = self._load(path)
            except SourceError as error:
                self.skipped.append(str(error))
                continue
            number = self._sequence.take(self.camera_id)
            yield SourceMessage(value, self.camera_id, number, due, "jpeg", width, height, still=True, stamp=True)
            due += self._interval_ms

    def _load(self, path: Path) -> tuple[bytes, int, int]:
        try:
            data = path.read_bytes()
        except OSError as error:
            raise SourceError(f"{path}: cannot be read: {error.strerror}") from error
        value, width, height, note = load_still(data, str(path))
        if note:
            self.notes.append(note)
        return value, width, height

    def close(self) -> None:
        """End the iteration at the next picture."""
        self._closed = True


def load_still(data: bytes, name: str) -> tuple[bytes, int, int, str]:
    """(JPEG bytes, width, height, a line when a JPEG had to be made smaller) of a picture file's bytes.

    Raises:
        SourceError: not a picture, or one that cannot be decoded or is too large.
    """
    if not data:
        raise SourceError(f"{name}: the file is empty")
    try:
        with Image.open(io.BytesIO(data)) as picture:
            kind, (width, height) = picture.format, picture.size
            if kind in ("JPEG", "MPO") and len(data) <= MAX_VALUE_BYTES:
                # readers turn a picture upright as its EXIF says, so that is the size that counts
                lying = picture.getexif().get(_ORIENTATION) in (5, 6, 7, 8)
                return data, height if lying else width, width if lying else height, ""
            if width * height > MAX_PIXELS:
                raise SourceError(f"{name}: {width} x {height} pixels are too many; make the picture smaller")
            upright = ImageOps.exif_transpose(picture).convert("RGB")
        value = encode_within(np.asarray(upright)[:, :, ::-1], MAX_VALUE_BYTES)
    except UnidentifiedImageError as error:
        raise SourceError(f"{name}: not a picture") from error
    except (OSError, ValueError, SyntaxError, EOFError, RuntimeError, Image.DecompressionBombError) as error:
        # the decoders of Pillow have no error in common: that of AVIF, for one, raises RuntimeError
        raise SourceError(f"{name}: cannot be decoded or sent as JPEG: {error}") from error
    note = f"{name}: re-encoded, because {len(data) >> 20} MiB do not fit into a message" if kind == "JPEG" else ""
    with Image.open(io.BytesIO(value)) as encoded:
        width, height = encoded.size
    return value, width, height, note
