"""What a rolling shutter and a video encoder do to a plate: a picture in, one as a dash cam has it out, same size.

Rolling shutter: rows are read one after the other, so that a shaking camera bends upright strokes. H.264: the picture
is the last of a short clip in which the plate moves, coded at a low rate; what moved and what stood still is smeared
and blocked as video is, which JPEG does not imitate.
"""

import io

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from vision.types import Image

_FRAMES = 3
"""Pictures of the clip: one coded whole, two as differences from the one before."""


def rolling_shutter(picture: Image, rng: np.random.Generator, strength: float) -> Image:
    """Rows shifted along a wave by up to `strength` pixels; half a wave to two waves over the picture's height."""
    height, width = picture.shape[:2]
    rows = np.arange(height, dtype=np.float32) / height
    wave = np.sin(2 * np.pi * (rows * float(rng.uniform(0.5, 2.0)) + float(rng.random())))
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    moved = x + (strength * wave.astype(np.float32))[:, None]
    bent = cv2.remap(picture, moved, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(bent, np.uint8)


def h264(picture: Image, rng: np.random.Generator, quality: int) -> Image:
    """The picture as the last of a clip that ends with it, coded at the constant rate factor `quality`.

    The factor is 0..51, more is worse. Every side must have at least 16 pixels; a smaller picture comes back as it is.
    """
    height, width = picture.shape[:2]
    if min(height, width) < 16:
        return picture
    even = cv2.copyMakeBorder(picture, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
    step: NDArray[np.float64] = rng.normal(0, 2.0, 2)
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as clip:
        stream = clip.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = even.shape[1], even.shape[0], "yuv420p"
        stream.options = {"crf": str(quality), "preset": "ultrafast", "bf": "0"}
        stream.thread_count = 1
        for left in range(_FRAMES - 1, -1, -1):
            shift = np.array([[1, 0, step[0] * left], [0, 1, step[1] * left]], np.float64)
            view = cv2.warpAffine(even, shift, (even.shape[1], even.shape[0]), borderMode=cv2.BORDER_REPLICATE)
            clip.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(view, np.uint8), format="bgr24")))
        clip.mux(stream.encode())
    file.seek(0)
    with av.open(file, "r") as coded:
        decoded = [frame.to_ndarray(format="bgr24") for frame in coded.decode(video=0)]
    return np.ascontiguousarray(decoded[-1][:height, :width], np.uint8)
