"""Folders, recordings and what `open_sources` makes of a name."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from media import SIZE, film, image, jpeg
from PIL import Image

from cameras.encoder import complete_jpeg, encode_within, jpeg_size
from cameras.sequence import ClockSequence, StoredSequence
from cameras.simulator import simulate
from cameras.sources import SourceError, base, folder, open_sources
from plumbing.clock import ManualClock

CLOCK = ManualClock()


def test_stills_travel_as_they_are_in_natural_order(tmp_path: Path) -> None:
    for number in (1, 2, 10):
        (tmp_path / f"img{number}.jpg").write_bytes(jpeg(number))
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b.JPG").write_bytes(jpeg(30))
    (tmp_path / ".hidden.jpg").write_bytes(jpeg(31))
    (tmp_path / "notes.txt").write_text("no picture")
    (source,) = open_sources(str(tmp_path), clock=CLOCK)
    messages = list(source)
    assert [message.value for message in messages] == [jpeg(n) for n in (1, 2, 10, 30)]
    assert all(m.still and m.stamp and m.codec == "jpeg" and (m.width, m.height) == SIZE for m in messages)
    assert [m.seq - messages[0].seq for m in messages] == [0, 1, 2, 3]
    assert source.total == 4
    assert source.skipped == []


def test_other_picture_formats_are_encoded_once(tmp_path: Path) -> None:
    for suffix in ("png", "webp", "bmp", "tiff", "gif"):
        Image.fromarray(image(3)[:, :, ::-1]).save(tmp_path / f"a.{suffix}")
    Image.fromarray(image(3)[:, :, ::-1]).convert("RGBA").save(tmp_path / "b.png")
    messages = list(open_sources(str(tmp_path))[0])
    assert len(messages) == 6
    for message in messages:
        decoded = cv2.imdecode(np.frombuffer(message.value, np.uint8), cv2.IMREAD_COLOR)
        assert np.abs(decoded.astype(int) - image(3)).mean() < 12


def test_what_is_no_picture_is_told_and_passed_over(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg(1))
    (tmp_path / "b.jpg").write_bytes(b"hello")
    (tmp_path / "c.png").write_bytes(b"")
    (tmp_path / "d.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (tmp_path / "e.png").write_bytes(Path(_png(tmp_path)).read_bytes()[:300])
    (tmp_path / "z.jpg").write_bytes(jpeg(2)[:-500])
    (source,) = open_sources(str(tmp_path))
    messages = list(source)
    assert [message.value for message in messages] == [jpeg(1), jpeg(2)[:-500]], "the worker judges a cut JPEG"
    assert len(source.skipped) == 3
    assert source.skipped[0] == f"{tmp_path / 'b.jpg'}: not a picture"
    assert source.skipped[1] == f"{tmp_path / 'c.png'}: the file is empty"
    assert source.skipped[2].startswith(f"{tmp_path / 'e.png'}: cannot be decoded or sent as JPEG")
    assert not any("\n" in line for line in source.skipped)


def test_pictures_that_a_decoder_or_the_encoder_trips_over_are_passed_over(tmp_path: Path) -> None:
    Image.fromarray(image(1)).save(tmp_path / "a.avif")
    whole = (tmp_path / "a.avif").read_bytes()
    start = whole.index(b"mdat") + 4
    (tmp_path / "a.avif").write_bytes(whole[:start] + bytes(len(whole) - start))
    Image.new("L", (66_000, 1)).save(tmp_path / "b.png")
    (tmp_path / "c.jpg").write_bytes(jpeg(3))
    (source,) = open_sources(str(tmp_path))
    assert [message.value for message in source] == [jpeg(3)]
    assert [line.partition(" sent as JPEG: ")[0] for line in source.skipped] == [
        f"{tmp_path / 'a.avif'}: cannot be decoded or",
        f"{tmp_path / 'b.png'}: cannot be decoded or",
    ]


def _png(folder: Path) -> Path:
    path = folder / "e.png"
    Image.fromarray(image(1)).save(path)
    return path


def test_a_file_that_goes_away_is_told(tmp_path: Path) -> None:
    for number in range(2):
        (tmp_path / f"{number}.jpg").write_bytes(jpeg(number))
    (source,) = open_sources(str(tmp_path))
    (tmp_path / "1.jpg").unlink()
    assert len(list(source)) == 1
    assert source.skipped == [f"{tmp_path / '1.jpg'}: cannot be read: No such file or directory"]


def test_a_jpeg_too_large_for_a_message_is_made_smaller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (400, 600, 3), np.uint8)
    (tmp_path / "a.jpg").write_bytes(cv2.imencode(".jpg", noise, [cv2.IMWRITE_JPEG_QUALITY, 100])[1].tobytes())
    monkeypatch.setattr(folder, "MAX_VALUE_BYTES", 60_000)
    (source,) = open_sources(str(tmp_path))
    (message,) = source
    assert len(message.value) <= 60_000
    assert jpeg_size(message.value) == (message.width, message.height)
    assert "re-encoded" in source.notes[0]


def test_a_huge_picture_is_refused_before_it_takes_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "MAX_PIXELS", 1000)
    _png(tmp_path)
    (source,) = open_sources(str(tmp_path))
    assert list(source) == []
    assert "160 x 96 pixels are too many" in source.skipped[0]


def test_the_size_is_that_of_the_upright_picture(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(image(1)).save(tmp_path / "a.jpg", exif=exif)
    (message,) = open_sources(str(tmp_path))[0]
    assert (message.width, message.height) == SIZE[::-1]
    assert cv2.imdecode(np.frombuffer(message.value, np.uint8), cv2.IMREAD_COLOR).shape[:2] == SIZE


def test_stills_are_dealt_out_and_each_is_sent_once(tmp_path: Path) -> None:
    for number in range(7):
        (tmp_path / f"{number}.jpg").write_bytes(jpeg(number))
    found = open_sources(str(tmp_path), cameras=3, camera_prefix="van")
    assert [source.camera_id for source in found] == ["van-01", "van-02", "van-03"]
    sent = [[message.value for message in source] for source in found]
    assert sent == [[jpeg(n) for n in range(first, 7, 3)] for first in range(3)]
    few = open_sources(str(tmp_path), cameras=9)
    assert len(few) == 7
    assert "enough for 7 of 9 cameras" in few[0].notes[0]


def test_videos_become_cameras(tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        film(tmp_path / name, 10)
    assert [source.total for source in open_sources(str(tmp_path))] == [10, 10, 10]
    both = open_sources(str(tmp_path), cameras=2)
    messages = list(both[0])
    assert [source.total for source in both] == [20, 10]
    assert [message.seq - messages[0].seq for message in messages] == [0, 10]
    assert messages[1].captured_at == messages[0].captured_at + 1000
    again = open_sources(str(tmp_path / "a.mp4"), cameras=3)
    assert [[m.frames for m in source] for source in again] == [[10]] * 3
    assert len({source.camera_id for source in again}) == 3


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda p: p / "none", "no such file or folder"),
        (lambda p: _mkdir(p / "empty"), "holds no pictures, no videos and no recording"),
        (lambda p: _write(p / "a.xyz"), "neither a picture nor a video by its name"),
        (lambda p: "gopher://x/y", "not a kind of source"),
        (lambda p: "/dev/video77", "cannot be opened: No such file or directory"),
        (lambda p: _mixed(p), "both pictures and videos"),
    ],
)
def test_bad_names_are_one_line(tmp_path: Path, make, text: str) -> None:
    name = str(make(tmp_path))
    with pytest.raises(SourceError, match=text) as error:
        play_all(name)
    assert "\n" not in str(error.value)
    with pytest.raises(SourceError, match="ask for one or more"):
        open_sources(str(tmp_path), cameras=0)
    with pytest.raises(SourceError, match="a live source is one camera"):
        open_sources("rtsp://127.0.0.1/x", cameras=2)


def play_all(name: str) -> None:
    for source in open_sources(name):
        list(source)


def _mkdir(path: Path) -> Path:
    path.mkdir()
    return path


def _write(path: Path) -> Path:
    path.write_text("x")
    return path


def _mixed(path: Path) -> Path:
    (path / "a.jpg").write_bytes(jpeg())
    (path / "b.mp4").write_bytes(b"x")
    return path


@pytest.mark.parametrize("codec", ["jpeg", "h264"])
def test_a_simulated_drive_is_replayed_as_recorded(tmp_path: Path, codec) -> None:
    out = tmp_path / "drive"
    simulate(out, seed=5, cameras=2, seconds=2.4, fps=5, width=320, height=192, codec=codec)
    found = open_sources(str(out))
    assert [source.camera_id for source in found] == ["camera-01", "camera-02"]
    for source in found:
        lines = [json.loads(line) for line in (out / source.camera_id / "frames.jsonl").read_text().splitlines()]
        assert source.total == len(lines) == 12
        told = []
        for message in source:
            assert message.codec == codec
            places = message.positions or (message,)
            assert len(places) == message.frames
            for step, place in enumerate(places):
                dt = place.dt_ms if message.positions else 0
                told.append(
                    (message.seq + step, message.captured_at + dt, place.lat, place.lon, place.heading, place.speed)
                )
        assert told == [
            (line["seq"], line["captured_at"], line["lat"], line["lon"], line["heading"], line["speed"])
            for line in lines
        ]
        assert source.skipped == []


def recording(path: Path, start: int, frames: int = 3) -> Path:
    path.mkdir(parents=True)
    lines = []
    for number in range(frames):
        (path / f"{number}.jpg").write_bytes(jpeg(number))
        lines.append({"file": f"{number}.jpg", "seq": 40 + number, "captured_at": start + number * 200, "lat": 1.5,
                      "lon": 2.5, "heading": 90.0, "speed": 12.0, "width": SIZE[0], "height": SIZE[1]})  # fmt: skip
    (path / "frames.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_rebase_shifts_all_cameras_by_the_same(tmp_path: Path) -> None:
    recording(tmp_path / "camera-01", 1_600_000_000_500)
    recording(tmp_path / "camera-02", 1_600_000_000_000)
    clock = ManualClock()
    first, second = open_sources(str(tmp_path), rebase=True, clock=clock)
    clock.advance(10)  # the shift is fixed when playing starts, not when the folder is opened
    times = [message.captured_at for message in first]
    clock.advance(10)
    assert times[0] == clock.now_ms() - 10_000 + 500
    assert next(iter(second)).captured_at == times[0] - 500
    assert "times shifted by +1" in first.notes[0]
    assert next(m.captured_at for m in open_sources(str(tmp_path))[0]) == 1_600_000_000_500
    assert len(open_sources(str(tmp_path), cameras=1)) == 1
    assert "2 cameras, 5 were asked for" in open_sources(str(tmp_path), cameras=5)[0].notes[0]


def test_a_missing_picture_is_told_and_passed_over(tmp_path: Path) -> None:
    path = recording(tmp_path / "camera-01", 1_600_000_000_000)
    (path / "1.jpg").unlink()
    (path / "2.jpg").write_bytes(b"x")
    (source,) = open_sources(str(tmp_path))
    assert [message.seq for message in source] == [40]
    assert len(source.skipped) == 2
    assert "1.jpg: cannot be read" in source.skipped[0]


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        ("", "holds no frames"),
        ("{not json}\n", r"frames\.jsonl:1: not a frame"),
        ('{"file": "a.jpg"}\n', r"frames\.jsonl:1: not a frame: .*seq"),
        ('{"file": "../../x.jpg", "seq": 1, "captured_at": 1, "width": 1, "height": 1}\n', "outside of the recording"),
        (
            '{"file": "0.jpg", "seq": 1, "captured_at": 1, "width": 1, "height": 1}\n' * 2,
            r"frames\.jsonl:2: seq 1 after 1; it must rise",
        ),
    ],
)
def test_a_damaged_index_is_one_line(tmp_path: Path, lines: str, text: str) -> None:
    path = recording(tmp_path / "camera-01", 1_600_000_000_000)
    (path / "frames.jsonl").write_text(lines)
    with pytest.raises(SourceError, match=text):
        play_all(str(tmp_path))


def test_an_index_that_does_not_fit_its_video_is_told(tmp_path: Path) -> None:
    path = tmp_path / "camera-01"
    path.mkdir()
    film(path / "video.mp4", 10)
    row = {"file": "video.mp4", "captured_at": 1, "width": 1, "height": 1}
    (path / "frames.jsonl").write_text("".join(json.dumps(row | {"seq": n * 2, "index": n}) + "\n" for n in range(10)))
    with pytest.raises(SourceError, match="with numbers in a row"):
        list(open_sources(str(tmp_path))[0])


def test_numbers_rise_across_restarts(tmp_path: Path) -> None:
    clock = ManualClock()
    first = ClockSequence(clock)
    assert first.take("a") + 1 == first.take("a", 5)
    last = first.take("a")
    clock.advance(0.002)
    assert ClockSequence(clock).take("a") > last

    path = tmp_path / "state" / "sequence.json"
    stored = StoredSequence(path, block=10)
    assert [stored.take("a"), stored.take("a", 3), stored.take("b"), stored.take("a")] == [0, 1, 0, 4]
    crashed = StoredSequence(path, block=10)
    assert 4 < crashed.take("a") <= 15, "a crash never repeats a number"
    crashed.close()
    assert StoredSequence(path).take("a") == crashed.take("a")
    path.write_text("[")
    with pytest.raises(ValueError, match="cannot be read"):
        StoredSequence(path)


def test_motion_jpeg_without_tables_gets_them() -> None:
    whole = cv2.imencode(".jpg", image(1))[1].tobytes()
    assert complete_jpeg(whole) is whole or complete_jpeg(whole) == whole
    bare = whole
    while (place := bare.find(b"\xff\xc4")) > 0:
        bare = bare[:place] + bare[place + 2 + int.from_bytes(bare[place + 2 : place + 4], "big") :]
    assert len(bare) < len(whole)
    mended = complete_jpeg(bare + b"\0\0\0")
    picture = cv2.imdecode(np.frombuffer(mended, np.uint8), cv2.IMREAD_COLOR)
    assert np.array_equal(picture, cv2.imdecode(np.frombuffer(whole, np.uint8), cv2.IMREAD_COLOR))
    assert jpeg_size(mended) == SIZE
    assert jpeg_size(b"\xff\xd8\xff") is None
    assert jpeg_size(b"") is None


def test_encode_within_lowers_quality_then_size() -> None:
    noise = np.random.default_rng(1).integers(0, 255, (200, 300, 3), np.uint8)
    assert jpeg_size(encode_within(noise, 60_000)) == (300, 200)
    small = encode_within(noise, 5_000)
    assert len(small) <= 5_000
    assert jpeg_size(small) != (300, 200)


def test_natural_order() -> None:
    names = ["b2", "a10", "a9", "A1", "a1b20", "a1b3", "10", "9", "a²"]
    assert sorted(names, key=base.natural_key) == ["9", "10", "A1", "a1b3", "a1b20", "a9", "a10", "a²", "b2"]
