"""Files that hold pictures. In: paths of files and folders. Out: the pictures of each, one by one, errors as lines."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import av.error
import numpy as np

from cameras.sources import folder, video
from fleet.errors import CommandError
from vision.decode import DecodeError, read_image
from vision.types import Image


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture, or the reason why there is none."""

    path: Path
    image: Image | None = None
    error: str = ""
    frame: int | None = None
    """Its number in a video."""
    time_s: float | None = None
    """Its time in a video, seconds from the start."""


def expand(paths: Sequence[Path]) -> list[Path]:
    """Files as they are; of a folder all pictures and videos, sub-folders included, in natural order.

    Raises:
        CommandError: no such path, or a folder without pictures.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = folder.list_pictures(path) + folder.list_pictures(path, video.SUFFIXES)
            if not inside:
                raise CommandError(f"{path}: holds no pictures and no videos")
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise CommandError(f"{path}: no such file or folder")
    return found


def pictures(path: Path, every: int = 1) -> Iterator[Picture]:
    """The picture of an image file; of a video every `every`-th picture."""
    if path.suffix.lower() in video.SUFFIXES:
        yield from _of_video(path, every)
        return
    try:
        yield Picture(path, read_image(path))
    except DecodeError as error:
        yield Picture(path, error=str(error))
    except OSError as error:
        yield Picture(path, error=f"{path}: {(error.strerror or str(error)).lower()}")


def _of_video(path: Path, every: int) -> Iterator[Picture]:
    count = 0
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                yield Picture(path, error=f"{path}: holds no video")
                return
            for count, frame in enumerate(container.decode(video=0), start=1):
                if (count - 1) % every == 0:
                    image = np.ascontiguousarray(frame.to_ndarray(format="bgr24"), dtype=np.uint8)
                    yield Picture(path, image, frame=count - 1, time_s=frame.time)
    except (av.error.FFmpegError, OSError) as error:
        yield Picture(path, error=f"{path}: cannot be decoded after {count} pictures: {error.strerror or error}")
        return
    if count == 0:
        yield Picture(path, error=f"{path}: holds no pictures")
