"""Films and pictures for the tests of the sources, drawn here: no plate and no photograph."""

from fractions import Fraction
from io import BytesIO
from pathlib import Path

import av
import cv2
import numpy as np

SIZE = (160, 96)


def image(number: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """A picture that differs from its neighbours: a moving bar on a gradient."""
    width, height = size
    picture = np.zeros((height, width, 3), np.uint8)
    picture[:, :, 1] = np.linspace(0, 255, width, dtype=np.uint8)[None, :]
    left = number * 7 % (width - 20)
    cv2.rectangle(picture, (left, 20), (left + 20, 60), (255, 255 - number % 200, 40), -1)
    return picture


def jpeg(number: int = 0, size: tuple[int, int] = SIZE) -> bytes:
    """The same as JPEG."""
    return cv2.imencode(".jpg", image(number, size))[1].tobytes()


def film(
    path: Path,
    frames: int = 30,
    *,
    codec: str = "libx264",
    fps: int = 10,
    container: str | None = None,
    **options: str,
) -> Path:
    """Write a film; `options` are the encoder's."""
    with av.open(str(path), "w", format=container) as out:
        stream = out.add_stream(codec, rate=Fraction(fps))
        stream.width, stream.height = SIZE
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.options = options
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(image(number), format="bgr24")
            frame.pts, frame.time_base = number, Fraction(1, fps)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def digests(value: bytes | Path, container: str | None = None) -> list[int]:
    """One number per decoded picture."""
    source = str(value) if isinstance(value, Path) else BytesIO(value)
    with av.open(source, format=container) as found:
        return [hash(frame.to_ndarray().tobytes()) for frame in found.decode(video=0)]
