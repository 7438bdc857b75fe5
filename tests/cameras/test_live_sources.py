"""Live cameras: RTSP with a server of its own, mpegts over TCP, a device that is acted."""

import re
import socket
import threading
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from media import SIZE, digests, film, image, jpeg
from rtsp_server import RtspServer

from cameras.publisher import publish
from cameras.sequence import ClockSequence
from cameras.sources import SourceError, SourceMessage, open_sources
from cameras.sources.live import LiveClock, add_line, without_credentials
from cameras.sources.rtsp import NetworkCamera
from cameras.sources.stream import StreamReader, open_container
from cameras.sources.v4l2 import MAX_FAILURES, DeviceCamera
from cameras.spool import Spool
from plumbing.clock import ManualClock, SystemClock
from plumbing.memory_bus import MemoryBus
from plumbing.retry import Backoff
from schemas.codec import decode_frame_header
from schemas.frame import FramePosition
from schemas.topics import FRAMES

X264 = {"preset": "veryfast", "x264-params": "keyint=10:min-keyint=10:scenecut=0:open-gop=0:threads=1"}
QUICK = Backoff(first=0.01, most=0.05)


def camera(address: str, **kwargs: object) -> NetworkCamera:
    return NetworkCamera(
        "gate",
        address,
        sequence=ClockSequence(),
        clock=SystemClock(),
        backoff=QUICK,
        **kwargs,  # type: ignore[arg-type]
    )


def take(source: NetworkCamera, pictures: int) -> list[SourceMessage]:
    found: list[SourceMessage] = []
    for message in source:
        found.append(message)
        if sum(m.frames for m in found) >= pictures:
            break
    source.close()
    return found


@pytest.fixture
def drive(tmp_path: Path) -> Path:
    return film(tmp_path / "a.mp4", 40, **X264)


def test_rtsp_is_passed_on_and_opened_again_when_it_breaks_off(drive: Path) -> None:
    with RtspServer(drive, pictures=20) as server:
        source = camera(server.address)
        messages = take(source, 40)
        assert server.plays == source.connections == 2
    assert [message.frames for message in messages] == [10, 10, 10, 10]
    wanted = digests(drive)[:20] * 2
    assert [value for message in messages for value in digests(message.value, "h264")] == wanted
    assert source.skipped == [f"{server.address}: the camera ended the stream"]
    seqs = [message.seq for message in messages]
    assert seqs == [seqs[0] + n for n in (0, 10, 20, 30)]
    times = [message.captured_at + place.dt_ms for message in messages for place in message.positions]
    assert len(times) == 40
    assert times == sorted(set(times)), "no time is given twice, also over a break"
    for message in messages[1::2]:  # FFmpeg gives the first two pictures of a connection one time
        assert [place.dt_ms for place in message.positions] == list(range(0, 1000, 100))
    assert (messages[0].width, messages[0].height) == SIZE


def test_rtsp_with_a_password_never_shows_it(drive: Path) -> None:
    with RtspServer(drive, pictures=10, credentials="user:s3cret") as server:
        assert len(take(camera(server.address), 10)) == 1
        wrong = camera(server.address.replace("s3cret", "0ther"))
        threading.Timer(0.5, wrong.close).start()
        assert list(wrong) == []
    assert "401" in wrong.skipped[0] or "nauthorized" in wrong.skipped[0]
    assert not any("s3cret" in line or "0ther" in line for line in [*wrong.skipped, wrong.name])


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("rtsp://camera:8554/front/main", "rtsp://camera:8554/front/main"),
        ("rtsp://user:word@camera:8554/front", "rtsp://camera:8554/front"),
        ("rtsp://user:wo@rd@camera/front", "rtsp://camera/front"),
        ("rtsp://user:wo/rd@camera/front", "rtsp://camera/front"),
        ("rtsp://user:wo?rd@camera/front", "rtsp://..."),
        ("rtsp://user:wo#rd@camera/front", "rtsp://..."),
        ("srt://camera:9000?passphrase=word", "srt://camera:9000"),
        ("srt://camera:9000?passphrase=wo@rd", "srt://..."),
        ("http://camera/video?user=user&pwd=word", "http://camera/video"),
        ("http://user:word@[fe80::1]:80/video#word", "http://[fe80::1]:80/video"),
        ("/dev/video0", "/dev/video0"),
    ],
)
def test_only_scheme_host_port_and_path_of_an_address_are_shown(address: str, shown: str) -> None:
    assert without_credentials(address) == shown


def test_an_address_where_nobody_answers_is_tried_again(free_port) -> None:
    source = camera(f"rtsp://127.0.0.1:{free_port()}/x")
    threading.Timer(0.4, source.close).start()
    assert list(source) == []
    assert len(source.skipped) > 1
    assert "Connection refused" in source.skipped[0]
    assert "\n" not in source.skipped[0]


def test_a_silent_camera_counts_as_broken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        source = camera(f"rtsp://127.0.0.1:{silent.getsockname()[1]}/x", open_timeout=0.3, read_timeout=0.3)
        threading.Timer(0.8, source.close).start()
        assert list(source) == []
    assert source.skipped


def test_mpegts_over_tcp_joined_in_its_middle(tmp_path: Path) -> None:
    whole = film(tmp_path / "a.ts", 40, **X264).read_bytes()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            client, _ = server.accept()
            with client:
                client.sendall(whole[188 * 8 :])

        thread = threading.Thread(target=serve)
        thread.start()
        source = camera(f"tcp://127.0.0.1:{server.getsockname()[1]}", container_format="mpegts")
        messages = take(source, 30)
        thread.join(10)
    assert [message.frames for message in messages] == [10, 10, 10]
    assert [value for message in messages for value in digests(message.value, "h264")] == digests(tmp_path / "a.ts")[
        10:
    ]


def test_a_network_camera_reaches_the_bus_through_the_spool(drive: Path, tmp_path: Path) -> None:
    bus = MemoryBus()
    bus.create_topics([FRAMES])
    stop = threading.Event()
    with RtspServer(drive) as server:
        sources = open_sources(server.address, camera_prefix="gate")
        done = publish(
            sources,
            bus.producer(),
            stop=stop,
            spool=Spool(tmp_path / "spool"),
            on_progress=lambda summary: stop.set() if summary.frames >= 40 else None,
        )
    assert done.frames >= 40
    header = decode_frame_header(bus.records(FRAMES.name)[0].headers)
    assert (header.camera_id, header.codec, header.frames) == ("gate-01", "h264", 10)
    assert abs(header.captured_at - SystemClock().now_ms()) < 60_000


class ActedGrabber:
    """Gives what it was told, then nothing."""

    def __init__(self, pictures: list[bytes | np.ndarray | None]) -> None:
        self.pictures = pictures
        self.closed = False

    def read(self) -> bytes | np.ndarray | None:
        return self.pictures.pop(0) if self.pictures else None

    def close(self) -> None:
        self.closed = True


def test_a_device_gives_its_jpegs_as_they_are() -> None:
    grabber = ActedGrabber([jpeg(1) + b"\0" * 90, None, b"damaged", image(3), jpeg(4)])
    source = DeviceCamera("dash", "/dev/video0", sequence=ClockSequence(), clock=ManualClock(), grabber=lambda: grabber)
    messages: list[SourceMessage] = []
    with pytest.raises(SourceError, match="/dev/video0: the camera gives no pictures any more"):
        messages.extend(source)
    found = _collect(ActedGrabber([jpeg(1) + b"\0" * 90, None, b"damaged", image(3), jpeg(4)]))
    assert [found[0].value, found[2].value] == [jpeg(1), jpeg(4)]
    assert found[1].value[:2] == b"\xff\xd8"
    assert {(m.codec, m.width, m.height) for m in found} == {("jpeg", *SIZE)}
    assert grabber.closed
    assert source.skipped == ["/dev/video0: a picture was damaged on its way from the camera"]
    assert MAX_FAILURES > 1


def _collect(grabber: ActedGrabber) -> list[SourceMessage]:
    source = DeviceCamera("dash", "/dev/v", sequence=ClockSequence(), clock=ManualClock(), grabber=lambda: grabber)
    found = []
    for message in source:
        found.append(message)
        if not grabber.pictures:
            source.close()
    return found


def test_a_live_camera_has_a_name_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def name(address: str, prefix: str | None = None, host: str = "van7.example") -> str:
        monkeypatch.setattr("socket.gethostname", lambda: host)
        return open_sources(address, camera_prefix=prefix)[0].camera_id

    front = name("rtsp://user:word@camera/view?channel=1")
    assert re.fullmatch("van7-[0-9a-f]{6}", front)
    assert name("rtsp://user:other@camera/view?channel=1") == front
    others = [name("rtsp://user:word@camera/view?channel=2"), name("/dev/video0"), name("/dev/video1")]
    others.append(name("/dev/video0", host="van8"))
    assert len({front, *others}) == 5
    assert name("/dev/video0", "gate") == "gate-01"


def test_a_file_is_no_device(tmp_path: Path) -> None:
    (source,) = open_sources("/dev/null")
    with pytest.raises(SourceError, match="/dev/null: is no camera, or another program uses it"):
        next(iter(source))


def test_the_live_clock_follows_the_camera_and_not_the_network() -> None:
    clock = ManualClock()
    live = LiveClock(clock)
    start = clock.now_ms()
    jitter = [0, 80, 10, 300, 0, 40, 500, 5, 0, 20]
    found = []
    for number, delay in enumerate(jitter):
        moment = start + number * 100 + delay
        clock.advance((moment - clock.now_ms()) / 1000)
        found.append(live.origin(number * 0.1) + number * 100 - start)
    assert found == pytest.approx([number * 100 for number in range(10)], abs=3)
    clock.advance(60)
    live.restart()
    assert live.origin(0.0) == clock.now_ms()
    clock.advance(20)
    assert live.origin(0.1) + 100 == clock.now_ms(), "a jump starts it afresh"


@pytest.mark.parametrize("seconds", [1, 10])
@pytest.mark.parametrize("interlaced", [False, True])
def test_pictures_that_arrive_together_keep_their_distances(tmp_path: Path, seconds: int, interlaced: bool) -> None:
    fields = ":tff=1" if interlaced else ""
    keyed = {"x264-params": f"keyint={10 * seconds}:min-keyint=1:scenecut=0:open-gop=0:bframes=0{fields}"}
    path = film(tmp_path / "a.ts", 30 * seconds, preset="veryfast", **keyed)
    clock = ManualClock()
    live = LiveClock(clock)
    delays = iter([0.4, 0.0, 0.9])

    def origin(time: float) -> float:
        # a group arrives when its last picture was taken, and some time later
        clock.advance(time + next(delays, 0.9) - clock.monotonic())
        return live.origin(time)

    start = clock.now_ms()
    reader = StreamReader("gate", ClockSequence(), origin)
    with open_container(str(path)) as container:
        messages = list(reader.read(container, "a.ts"))
    times = [m.captured_at + place.dt_ms for m in messages for place in m.positions or (FramePosition(dt_ms=0),)]
    assert len(messages) == (30 * seconds if interlaced else 3)
    assert len(times) == 30 * seconds
    steps = [after - before for before, after in pairwise(times)]
    between = 10 * seconds - 1, 20 * seconds - 1
    assert {step for place, step in enumerate(steps) if place not in between} == {100}
    assert min(steps) > 0
    assert times[-1] <= clock.now_ms()
    assert times[0] >= start


@pytest.mark.parametrize("codec", ["mjpeg", "mpeg4"])
def test_damaged_pictures_of_a_stream_do_not_fill_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codec: str
) -> None:
    path = film(tmp_path / "a.avi", 150, codec=codec)
    data = bytearray(path.read_bytes())
    start, end = data.index(b"movi") + 4, data.rindex(b"idx1")
    if codec == "mjpeg":
        data[start:end] = data[start:end].replace(b"\xff\xd8", b"\0\0")
    else:
        place = start
        while place < end:
            size = int.from_bytes(data[place + 4 : place + 8], "little")
            data[place + 8 : place + 8 + size] = bytes(size)
            place += 8 + size + size % 2
    path.write_bytes(data)
    reader = StreamReader("gate", ClockSequence(), lambda time: 0.0)
    with open_container(str(path)) as container:
        assert list(reader.read(container, "rtsp://camera")) == []
    assert len(reader.skipped) == 100
    assert all(line.startswith("rtsp://camera: the picture at ") for line in reader.skipped)


def test_the_newest_lines_are_kept() -> None:
    lines: list[str] = []
    for number in range(1000):
        add_line(lines, str(number))
    assert len(lines) == 100
    assert lines[-1] == "999"
