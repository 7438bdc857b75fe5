"""Frame sources. In: what a person names (folder, file, address, device). Out: one Source per camera."""

import socket
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from cameras.sequence import ClockSequence, Sequence
from cameras.sources import folder, recording, rtsp, v4l2, video
from cameras.sources.base import Source, SourceError, SourceMessage
from plumbing.clock import Clock, SystemClock

__all__ = ["Source", "SourceError", "SourceMessage", "open_sources"]


def open_sources(
    spec: str,
    *,
    cameras: int | None = None,
    rebase: bool = False,
    camera_prefix: str | None = None,
    clock: Clock | None = None,
    sequence: Sequence | None = None,
    still_interval_ms: int = 200,
) -> list[Source]:
    """The cameras that `spec` stands for.

    - a folder with `frames.jsonl`, or with folders that have one: a recorded drive, identity as recorded, times
      as recorded or, with `rebase`, shifted by one amount so that the drive starts now; the first `cameras` of it.
    - a folder of pictures, sub-folders included: stills. With `cameras` they are dealt out in turn, each sent once.
      What is too little for `cameras` gives fewer cameras and a line in `notes`.
    - a folder of videos: each file is a camera; with `cameras` the files are dealt out in turn and a camera
      plays its files one after the other.
    - a picture or a video file: one camera. With `cameras` every camera plays the whole video under its own name.
    - `rtsp://...` (also rtmp, srt, http, tcp, udp) or `/dev/videoN`: one live camera.

    New cameras are called `<camera_prefix>-01`, `-02`, ...; without a prefix `cam-01`, `cam-02`, ..., but a live camera
    is called as `live_name` says. Their picture numbers come from `sequence`.

    Raises:
        SourceError: nothing there, nothing usable in it, or a live source asked to be several cameras.
    """
    if cameras is not None and cameras < 1:
        raise SourceError(f"{cameras} cameras cannot be opened; ask for one or more")
    make = _Maker(camera_prefix, clock or SystemClock(), sequence, rebase, still_interval_ms)
    scheme, separator, _ = spec.partition("://")
    if separator:
        if scheme.lower() not in rtsp.SCHEMES:
            raise SourceError(f"{scheme}://: not a kind of source; known are {', '.join(rtsp.SCHEMES)}")
        return make.live(
            spec, cameras, lambda name: rtsp.NetworkCamera(name, spec, sequence=make.sequence, clock=make.clock)
        )
    if spec.startswith("/dev/"):
        return make.live(
            spec, cameras, lambda name: v4l2.DeviceCamera(name, spec, sequence=make.sequence, clock=make.clock)
        )
    path = Path(spec)
    if path.is_dir():
        return make.from_folder(path, cameras)
    if not path.exists():
        raise SourceError(f"{spec}: no such file or folder")
    return make.from_file(path, cameras)


def live_name(address: str) -> str:
    """Name of a live camera that nobody has named: this machine and a short hash of the address.

    It is the same after every start and another one on every machine: two cameras of one name would be tracked as one.
    User and password are no part of it, so that a new password makes no new camera.
    """
    scheme, _, rest = address.rpartition("://")
    place = f"{scheme}://{rest.rpartition('@')[2]}"
    return f"{socket.gethostname().partition('.')[0] or 'cam'}-{sha256(place.encode()).hexdigest()[:6]}"


def _told(found: list[Source], path: Path, wanted: int) -> list[Source]:
    if wanted > len(found):
        found[0].notes.append(f"{path}: enough for {len(found)} of {wanted} cameras")
    return found


class _Maker:
    def __init__(
        self, prefix: str | None, clock: Clock, sequence: Sequence | None, rebase: bool, still_interval_ms: int
    ) -> None:
        self.prefix = prefix
        self.clock = clock
        self.sequence = sequence or ClockSequence(clock)
        self.rebase = rebase
        self.still_interval_ms = still_interval_ms

    def camera(self, place: int) -> str:
        return f"{self.prefix or 'cam'}-{place + 1:02}"

    def live(self, address: str, cameras: int | None, make: Callable[[str], Source]) -> list[Source]:
        if cameras is not None and cameras > 1:
            raise SourceError(f"a live source is one camera; {cameras} were asked for")
        return [make(self.camera(0) if self.prefix else live_name(address))]

    def from_folder(self, path: Path, cameras: int | None) -> list[Source]:
        try:
            if recording.camera_folders(path):
                return [*recording.open_recording(path, cameras=cameras, rebase=self.rebase, clock=self.clock)]
            pictures = folder.list_pictures(path)
            videos = folder.list_pictures(path, video.SUFFIXES)
        except OSError as error:
            raise SourceError(f"{path}: cannot be listed: {error.strerror}") from error
        if pictures and videos:
            raise SourceError(f"{path}: holds both pictures and videos; give a folder of one kind")
        if not pictures and not videos:
            raise SourceError(f"{path}: holds no pictures, no videos and no recording (frames.jsonl)")
        files = pictures or videos
        wanted = cameras or (1 if pictures else len(videos))
        count = min(wanted, len(files))
        if pictures:
            found = [self.stills(place, files[place::count], f"{path}") for place in range(count)]
        else:
            found = [self.videos(place, files[place::count]) for place in range(count)]
        return _told(found, path, wanted)

    def from_file(self, path: Path, cameras: int | None) -> list[Source]:
        if path.suffix.lower() in video.SUFFIXES:
            return [self.videos(place, [path]) for place in range(cameras or 1)]
        if path.suffix.lower() not in folder.SUFFIXES:
            known = ", ".join(sorted(folder.SUFFIXES | video.SUFFIXES))
            raise SourceError(f"{path}: neither a picture nor a video by its name; known are {known}")
        return _told([self.stills(0, [path], str(path))], path, cameras or 1)

    def stills(self, place: int, paths: list[Path], name: str) -> Source:
        return folder.StillPictures(
            self.camera(place),
            paths,
            sequence=self.sequence,
            clock=self.clock,
            interval_ms=self.still_interval_ms,
            name=name,
        )

    def videos(self, place: int, paths: list[Path]) -> Source:
        return video.VideoFiles(self.camera(place), paths, sequence=self.sequence, clock=self.clock, rebase=self.rebase)
