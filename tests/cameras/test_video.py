"""Video files: what may travel as it is does so bit for bit, everything else is decoded once and says why."""

import io
import itertools
import struct
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from media import SIZE, digests, film, image

from cameras.sequence import ClockSequence
from cameras.sources import SourceError, SourceMessage, groups, open_sources
from cameras.sources.video import VideoFiles
from plumbing.clock import ManualClock
from workers.decode import open_frame, pictures
from workers.settings import Limits

X264 = {"preset": "veryfast", "x264-params": "keyint=10:min-keyint=10:scenecut=0:open-gop=0:threads=1"}


def play(path: Path, **kwargs: bool) -> tuple[VideoFiles, list[SourceMessage]]:
    clock = ManualClock()
    source = VideoFiles("cam-01", [path], sequence=ClockSequence(clock), clock=clock, **kwargs)
    return source, list(source)


def worker_pictures(messages: list[SourceMessage]) -> list[np.ndarray]:
    """What a worker makes of them, through its own checks."""
    found = []
    for message in messages:
        header = [(k, v) for k, v in _headers(message)]
        found += [picture.image for picture in pictures(open_frame(header, message.value, Limits()), Limits())]
    return found


def _headers(message: SourceMessage) -> list[tuple[str, bytes]]:
    from schemas.codec import encode_frame_header

    return encode_frame_header(message.header())


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.mov", "a.avi", "a.ts"])
@pytest.mark.parametrize("b_frames", [0, 2])
def test_h264_is_passed_on_group_by_group(tmp_path: Path, name: str, b_frames: int) -> None:
    path = film(tmp_path / name, 34, **(X264 | {"x264-params": X264["x264-params"] + f":bframes={b_frames}"}))
    source, messages = play(path)
    assert [message.codec for message in messages] == ["h264"] * 4
    assert [message.frames for message in messages] == [10, 10, 10, 4]
    assert [value for message in messages for value in digests(message.value, "h264")] == digests(path)
    assert len(worker_pictures(messages)) == 34
    assert source.notes == source.skipped == []
    seqs = [message.seq for message in messages]
    assert [b - a for a, b in itertools.pairwise(seqs)] == [10, 10, 10]
    times = [message.captured_at + p.dt_ms for message in messages for p in message.positions]
    assert np.allclose(np.diff(times), 100, atol=1)
    assert (messages[0].width, messages[0].height) == SIZE


def test_the_camera_ends_now_or_starts_now(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", 30, **X264)
    now = ManualClock().now_ms()
    assert play(path)[1][0].captured_at == now - 3000
    assert play(path, rebase=True)[1][0].captured_at == now


def test_open_groups_are_decoded_and_say_so(tmp_path: Path) -> None:
    path = film(
        tmp_path / "a.mp4",
        60,
        preset="veryfast",
        **{"x264-params": "keyint=10:min-keyint=1:scenecut=0:open-gop=1:bframes=2:threads=1"},
    )
    with av.open(str(path)) as found:
        assert sum(packet.is_keyframe for packet in found.demux(video=0) if packet.size) > 1, "the film has open groups"
    _, messages = play(path)
    assert sum(message.frames for message in messages) == 60
    assert len(worker_pictures(messages)) == 60, "a worker decodes each group alone"


@pytest.mark.parametrize("bounds", [{"MAX_PICTURES": 8}, {"MAX_VALUE_BYTES": 1500}])
def test_a_group_that_is_too_long_becomes_jpegs(
    tmp_path: Path, bounds: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = film(tmp_path / "a.mp4", 34, **(X264 | {"x264-params": X264["x264-params"] + ":bframes=2"}))
    limits = {"max_bytes": groups.MAX_VALUE_BYTES, "max_pictures": groups.MAX_PICTURES}
    limits |= {"max_pictures": bounds["MAX_PICTURES"]} if "MAX_PICTURES" in bounds else {"max_bytes": 1500}
    monkeypatch.setattr("cameras.sources.stream.GroupCutter", lambda stream: groups.GroupCutter(stream, **limits))
    source, messages = play(path)
    assert sum(message.frames for message in messages) == 34
    assert messages[0].codec == "jpeg"
    assert messages[0].frames == 1
    assert [m.seq for m in messages] == sorted(m.seq for m in messages)
    assert np.allclose(np.diff([m.captured_at for m in messages if m.codec == "jpeg"][:8]), 100, atol=1)
    assert "a group of more than" in source.notes[0]
    assert len(source.notes) == 1
    decoded = worker_pictures(messages)
    assert all(np.abs(picture.astype(int) - image(n)).mean() < 12 for n, picture in enumerate(decoded))


def test_a_stream_joined_in_its_middle_starts_at_its_first_idr_picture(tmp_path: Path) -> None:
    whole = film(tmp_path / "a.ts", 34, **X264)
    with av.open(str(whole)) as found, av.open(str(tmp_path / "b.ts"), "w") as out:
        stream = found.streams.video[0]
        copy = out.add_stream_from_template(stream)
        for number, packet in enumerate(p for p in found.demux(stream) if p.size):
            if number >= 5:
                packet.stream = copy
                out.mux(packet)
    clock = ManualClock()
    source = VideoFiles("cam-01", [tmp_path / "b.ts"], sequence=ClockSequence(clock), clock=clock)
    messages = list(source)
    assert [message.frames for message in messages] == [10, 10, 4]
    assert source.skipped == [f"{tmp_path / 'b.ts'}: 5 pictures before the first key picture"]


def test_mjpeg_is_passed_on_picture_by_picture(tmp_path: Path) -> None:
    path = film(tmp_path / "a.avi", 12, codec="mjpeg")
    _, messages = play(path)
    with av.open(str(path)) as found:
        packets = [bytes(packet) for packet in found.demux(video=0) if packet.size]
    assert [message.value for message in messages] == packets
    assert {(m.codec, m.frames, m.width, m.height) for m in messages} == {("jpeg", 1, *SIZE)}
    assert len(worker_pictures(messages)) == 12


@pytest.mark.parametrize(("codec", "name"), [("mpeg4", "a.mp4"), ("libx265", "a.mkv"), ("libvpx", "a.webm")])
def test_other_codecs_are_encoded_once(tmp_path: Path, codec: str, name: str) -> None:
    options = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    source, messages = play(film(tmp_path / name, 12, codec=codec, **options))
    assert [message.codec for message in messages] == ["jpeg"] * 12
    assert "is decoded and sent as JPEG" in source.notes[0]
    assert np.allclose(np.diff([message.captured_at for message in messages]), 100, atol=1)
    assert all(
        np.abs(picture.astype(int) - image(n)).mean() < 15 for n, picture in enumerate(worker_pictures(messages))
    )


def test_interlaced_pictures_are_decoded(tmp_path: Path) -> None:
    path = film(tmp_path / "a.ts", 10, preset="veryfast", **{"x264-params": "interlaced=1:keyint=5:threads=1"})
    source, messages = play(path)
    assert sum(message.frames for message in messages) == 10
    assert "interlaced" in source.notes[0]


def test_a_lying_film_is_turned_upright(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", 10, **X264)
    data = path.read_bytes()
    plain = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    quarter = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, SIZE[1] << 16, 0, 1 << 30)
    track = data.index(b"tkhd")
    place = data.index(plain, track)
    path.write_bytes(data[:place] + quarter + data[place + len(plain) :])
    source, messages = play(path)
    assert "turned" in source.notes[0]
    assert (messages[0].width, messages[0].height) == SIZE[::-1]
    upright = np.rot90(image(0), -1)  # the matrix asks for a quarter turn clockwise
    decoded = cv2.imdecode(np.frombuffer(messages[0].value, np.uint8), cv2.IMREAD_COLOR)
    assert np.abs(decoded.astype(int) - upright).mean() < 12


def test_real_clips_keep_every_picture(data_pack: Path) -> None:
    counts = {}
    for path in [*sorted((data_pack / "clips").glob("*"))[::3], data_pack / "clips" / "openalpr-sample_eu-clip.mp4"]:
        source, messages = play(path)
        assert source.notes == source.skipped == []
        counts[path.name] = sum(message.frames for message in messages)
        if messages[0].codec == "h264":
            mine = [value for message in messages for value in digests(message.value, "h264")]
            theirs = digests(path)
            # an edit list may hide the first pictures of a file from players; what follows them still needs them
            assert mine[-len(theirs) :] == theirs
            assert len(mine) == counts[path.name]
    assert counts["openalpr-sample_eu-clip.mp4"] == 126


def test_a_damaged_film_gives_what_it_can(tmp_path: Path) -> None:
    data = bytearray(film(tmp_path / "a.ts", 34, **X264).read_bytes())
    (tmp_path / "cut.ts").write_bytes(data[: len(data) // 2])
    assert sum(message.frames for message in play(tmp_path / "cut.ts")[1]) >= 10


def test_no_video_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"not a film at all" * 100)
    with pytest.raises(SourceError, match=r"a\.mp4: cannot be opened as video: Invalid data") as error:
        open_sources(str(tmp_path / "a.mp4"))
    assert "\n" not in str(error.value)
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(SourceError, match="cannot be opened as video"):
        open_sources(str(tmp_path / "empty.mp4"))
    whole = film(tmp_path / "b.mp4", 10, **X264).read_bytes()
    (tmp_path / "c.mp4").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SourceError, match=r"c\.mp4"):
        open_sources(str(tmp_path / "c.mp4"))


def test_sound_alone_is_no_source(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    with pytest.raises(SourceError, match="holds no video stream"):
        open_sources(str(path))


def test_parameter_sets_are_put_before_a_key_picture_that_lacks_them(tmp_path: Path) -> None:
    film(tmp_path / "a.h264", 20, container="h264", **X264)
    data = (tmp_path / "a.h264").read_bytes()
    from cameras.sources.annexb import IDR, PPS, SPS, ParameterSets, units

    found = units(data)
    sets = [data[start:end] for kind, start, end in found if kind in (SPS, PPS)]
    idr = next(data[start:end] for kind, start, end in found if kind == IDR)
    keeper = ParameterSets(b"".join(b"\0\0\0\1" + unit for unit in sets[:2]))
    complete, is_idr = keeper.complete(b"\0\0\0\1" + idr)
    assert is_idr
    assert [kind for kind, _, _ in units(complete)] == [SPS, PPS, IDR]
    with av.open(io.BytesIO(complete), format="h264") as decoded:
        assert len(list(decoded.decode(video=0))) == 1
