"""A camera at this machine (`/dev/videoN`): its MJPEG as it is, anything else encoded as JPEG once.

OpenCV reads the device, because PyAV's wheels come without V4L2. What a device hands over as H.264 only is not
asked for: nearly all of them offer MJPEG or YUYV beside it.
"""

import errno
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from cameras import sequence as numbers
from cameras.encoder import complete_jpeg, encode_within, jpeg_size
from cameras.sources.base import MAX_VALUE_BYTES, SourceError, SourceMessage
from cameras.sources.live import add_line
from plumbing.clock import Clock

MAX_FAILURES = 20
"""Reads in a row without a picture after which the device counts as gone."""


class Grabber(Protocol):
    """A device that is open."""

    def read(self) -> bytes | NDArray[np.uint8] | None:
        """The next picture: JPEG bytes, or height x width x 3 BGR; None when the device gave none."""

    def close(self) -> None:
        """Let go of the device."""


class OpenCvGrabber:
    """Grabber on OpenCV's V4L2 backend."""

    def __init__(self, device: str, size: tuple[int, int], fps: float) -> None:
        """Raises:
        SourceError: the device is missing, not allowed, busy, or no camera.
        """
        _check_device(device)
        self._capture = cv2.VideoCapture(device, cv2.CAP_V4L2)
        if not self._capture.isOpened():
            raise SourceError(f"{device}: is no camera, or another program uses it")
        mjpg = cv2.VideoWriter.fourcc(*"MJPG")
        for setting, value in (
            (cv2.CAP_PROP_FOURCC, mjpg),
            (cv2.CAP_PROP_FRAME_WIDTH, size[0]),
            (cv2.CAP_PROP_FRAME_HEIGHT, size[1]),
            (cv2.CAP_PROP_FPS, fps),
        ):
            self._capture.set(setting, value)
        self._raw = int(self._capture.get(cv2.CAP_PROP_FOURCC)) == mjpg
        if self._raw:
            self._capture.set(cv2.CAP_PROP_CONVERT_RGB, 0)

    def read(self) -> bytes | NDArray[np.uint8] | None:
        """As `Grabber.read`."""
        found, picture = self._capture.read()
        if not found or picture is None:
            return None
        return picture.tobytes() if self._raw else np.asarray(picture, np.uint8)

    def close(self) -> None:
        """As `Grabber.close`."""
        self._capture.release()


def _check_device(device: str) -> None:
    try:
        os.close(os.open(device, os.O_RDWR | os.O_NONBLOCK))
    except OSError as error:
        hint = {
            errno.ENOENT: f"cameras here: {', '.join(map(str, sorted(Path('/dev').glob('video*')))) or 'none'}",
            errno.EACCES: "add this user to the group `video`",
            errno.EBUSY: "close the other program that uses it",
        }.get(error.errno or 0, "check the cable")
        raise SourceError(f"{device}: cannot be opened: {error.strerror}; {hint}") from error


class DeviceCamera:
    """Frames of one device until `close`."""

    live = True

    def __init__(
        self,
        camera_id: str,
        device: str,
        *,
        sequence: numbers.Sequence,
        clock: Clock,
        size: tuple[int, int] = (1280, 720),
        fps: float = 10.0,
        grabber: Callable[[], Grabber] | None = None,
    ) -> None:
        self.camera_id = camera_id
        self.name = device
        self.total: int | None = None
        self.skipped: list[str] = []
        self.notes: list[str] = []
        self._sequence = sequence
        self._clock = clock
        self._open = grabber or (lambda: OpenCvGrabber(device, size, fps))
        self._closed = threading.Event()

    def __iter__(self) -> Iterator[SourceMessage]:
        """Messages until `close`.

        Raises:
            SourceError: the device cannot be opened, or gives nothing any more.
        """
        grabber = self._open()
        failures = 0
        try:
            while not self._closed.is_set():
                message = self._message(grabber.read(), self._clock.now_ms())
                if message is None:
                    failures += 1
                    if failures >= MAX_FAILURES:
                        raise SourceError(f"{self.name}: the camera gives no pictures any more; check its cable")
                    continue
                failures = 0
                yield message
        finally:
            grabber.close()

    def _message(self, picture: bytes | NDArray[np.uint8] | None, now: int) -> SourceMessage | None:
        if picture is None:
            return None
        data = complete_jpeg(picture) if isinstance(picture, bytes) else encode_within(picture, MAX_VALUE_BYTES)
        size = jpeg_size(data)
        if size is None or len(data) > MAX_VALUE_BYTES:
            add_line(self.skipped, f"{self.name}: a picture was damaged on its way from the camera")
            return None
        return SourceMessage(data, self.camera_id, self._sequence.take(self.camera_id), now, "jpeg", *size)

    def close(self) -> None:
        """End the iteration at the next picture."""
        self._closed.set()
