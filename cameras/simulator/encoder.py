"""Frames to files, with the damage a real camera's encoder does: JPEG pictures, or one H.264 film of closed groups."""

from fractions import Fraction
from pathlib import Path
from typing import Literal, Protocol

import av
import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Codec = Literal["jpeg", "h264"]

GOP = 10
DEFAULT_JPEG_QUALITY = 80
DEFAULT_KBIT_S = 4000
VIDEO_NAME = "video.mp4"


class Recorder(Protocol):
    """Takes one camera's frames in order."""

    def add(self, image: Image) -> dict[str, object]:
        """Record a frame; what its line in `frames.jsonl` says of where it is."""

    def close(self) -> None:
        """Finish the files."""


class JpegRecorder:
    """`000000.jpg`, `000001.jpg`, ..."""

    def __init__(self, folder: Path, quality: int) -> None:
        self._folder = folder
        self._options = [cv2.IMWRITE_JPEG_QUALITY, quality]
        self._count = 0

    def add(self, image: Image) -> dict[str, object]:
        name = f"{self._count:06d}.jpg"
        self._count += 1
        (self._folder / name).write_bytes(cv2.imencode(".jpg", image, self._options)[1].tobytes())
        return {"file": name}

    def close(self) -> None:
        """Nothing is open."""


class VideoRecorder:
    """`video.mp4`: closed groups of GOP pictures, no B-frames, one thread so that the bytes are the same each time."""

    def __init__(self, folder: Path, kbit_s: int, fps: float, width: int, height: int) -> None:
        rate = Fraction(fps).limit_denominator(1001)
        self._container = av.open(str(folder / VIDEO_NAME), "w")
        stream = self._container.add_stream("libx264", rate=rate)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.bit_rate = kbit_s * 1000
        stream.codec_context.gop_size = GOP
        stream.codec_context.max_b_frames = 0
        stream.codec_context.thread_count = 1
        options = f"keyint={GOP}:min-keyint={GOP}:scenecut=0:open-gop=0:bframes=0:threads=1"
        stream.options = {"preset": "veryfast", "x264-params": options}
        self._stream = stream
        self._count = 0

    def add(self, image: Image) -> dict[str, object]:
        frame = av.VideoFrame.from_ndarray(image, format="bgr24")
        frame.pts = self._count
        frame.time_base = Fraction(1) / Fraction(self._stream.codec_context.framerate)
        for packet in self._stream.encode(frame):
            self._container.mux(packet)
        self._count += 1
        return {"file": VIDEO_NAME, "index": self._count - 1}

    def close(self) -> None:
        for packet in self._stream.encode():
            self._container.mux(packet)
        self._container.close()


def recorder(codec: Codec, folder: Path, quality: int | None, fps: float, size: tuple[int, int]) -> Recorder:
    """The recorder for `codec`; `quality` is JPEG quality 1..100 or H.264 kbit/s.

    Raises:
        ValueError: for an unknown codec or a quality out of range.
    """
    if codec == "jpeg":
        value = DEFAULT_JPEG_QUALITY if quality is None else quality
        if not 1 <= value <= 100:
            raise ValueError(f"JPEG quality {value}: want 1 to 100")
        return JpegRecorder(folder, value)
    if codec == "h264":
        value = DEFAULT_KBIT_S if quality is None else quality
        if value < 50:
            raise ValueError(f"H.264 bit rate {value} kbit/s: want 50 or more")
        return VideoRecorder(folder, value, fps, *size)
    raise ValueError(f"codec {codec!r}: want jpeg or h264")
