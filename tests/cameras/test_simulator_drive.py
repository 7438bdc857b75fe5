"""A small drive on disk: same bytes twice, files as documented, nothing half-written."""

import hashlib
import json
from pathlib import Path

import av
import cv2
import pytest
from av.video.frame import PictureType

from cameras.simulator import simulate

SMALL = {"seed": 5, "cameras": 2, "seconds": 2.4, "fps": 5, "width": 640, "height": 360}


def digests(folder: Path) -> dict[str, str]:
    files = sorted(f for f in folder.rglob("*") if f.is_file())
    return {str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def drive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("drive") / "jpeg"
    simulate(out, **SMALL)
    return out


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("drive") / "h264"
    simulate(out, **{**SMALL, "seconds": 4.6}, codec="h264", quality=1500, conditions=["night+rain", "sun+glare"])
    return out


def test_same_arguments_give_the_same_bytes_with_any_number_of_jobs(drive: Path, tmp_path: Path) -> None:
    simulate(tmp_path / "again", **SMALL, jobs=2)
    assert digests(tmp_path / "again") == digests(drive)


def test_h264_and_its_truth_are_the_same_twice(film: Path, tmp_path: Path) -> None:
    simulate(
        tmp_path / "again",
        **{**SMALL, "seconds": 4.6},
        codec="h264",
        quality=1500,
        conditions=["night+rain", "sun+glare"],
    )
    assert digests(tmp_path / "again") == digests(film)


def test_another_seed_gives_another_drive(drive: Path, tmp_path: Path) -> None:
    simulate(tmp_path / "other", **{**SMALL, "seed": 6, "cameras": 1, "seconds": 0.4})
    assert (tmp_path / "other/camera-01/000000.jpg").read_bytes() != (drive / "camera-01/000000.jpg").read_bytes()


def test_every_frame_is_there_and_decodes(drive: Path) -> None:
    for camera in ("camera-01", "camera-02"):
        rows = lines(drive / camera / "frames.jsonl")
        assert [r["seq"] for r in rows] == list(range(12))
        assert [r["captured_at"] - rows[0]["captured_at"] for r in rows] == [200 * k for k in range(12)]
        for row in rows:
            image = cv2.imread(str(drive / camera / row["file"]))
            assert image.shape == (row["height"], row["width"], 3) == (360, 640, 3)
            assert image.std() > 15
            assert -90 <= row["lat"] <= 90
            assert 0 <= row["heading"] < 360
            assert row["speed"] >= 0


def test_film_has_closed_groups_of_ten_without_b_frames(film: Path) -> None:
    rows = lines(film / "camera-02" / "frames.jsonl")
    assert [r["index"] for r in rows] == list(range(23))
    with av.open(str(film / "camera-02" / "video.mp4")) as container:
        stream = container.streams.video[0]
        packets = [p for p in container.demux(stream) if p.size]
        assert [i for i, p in enumerate(packets) if p.is_keyframe] == [0, 10, 20]
        assert all(p.pts == p.dts for p in packets)
    with av.open(str(film / "camera-02" / "video.mp4")) as container:
        frames = list(container.decode(video=0))
    assert [(f.width, f.height) for f in frames] == [(640, 360)] * 23
    assert {PictureType(f.pict_type) for f in frames} == {PictureType.I, PictureType.P}


def test_each_group_decodes_alone(film: Path) -> None:
    with av.open(str(film / "camera-01" / "video.mp4")) as container:
        stream = container.streams.video[0]
        packets = [p for p in container.demux(stream) if p.size][10:20]
        decoder = av.CodecContext.create("h264", "r")
        decoder.extradata = stream.codec_context.extradata
        frames = [f for p in packets for f in decoder.decode(p)] + list(decoder.decode(None))
    assert len(frames) == 10


def test_conditions_are_dealt_to_the_cameras(film: Path) -> None:
    about = json.loads((film / "drive.json").read_text())
    assert [c["conditions"] for c in about["cameras"]] == [["night", "rain"], ["sun", "glare"]]
    for row in lines(film / "truth.jsonl"):
        expected = ["night", "rain"] if row["camera_id"] == "camera-01" else ["sun", "glare"]
        assert row["conditions"][:2] == expected


def test_times_follow_the_start_and_not_the_wall_clock(tmp_path: Path) -> None:
    simulate(tmp_path / "a", **{**SMALL, "cameras": 1, "seconds": 0.4}, start_ms=1_800_000_000_000)
    first = lines(tmp_path / "a/camera-01/frames.jsonl")[0]["captured_at"]
    assert 0 <= first - 1_800_000_000_000 < 100


def test_progress_counts_to_the_end(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    simulate(tmp_path / "a", **{**SMALL, "seconds": 0.6}, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(k, 6) for k in range(1, 7)]


class Stop(Exception):
    pass


def test_an_interrupted_drive_leaves_nothing(tmp_path: Path) -> None:
    def stop(done: int, _: int) -> None:
        if done == 2:
            raise Stop

    with pytest.raises(Stop):
        simulate(tmp_path / "a", **SMALL, progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_parallel_drive_leaves_nothing(tmp_path: Path) -> None:
    def stop(done: int, _: int) -> None:
        if done:
            raise Stop

    with pytest.raises(Stop):
        simulate(tmp_path / "a", **{**SMALL, "seconds": 60}, jobs=2, progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_truth_files_agree(drive: Path) -> None:
    told = lines(drive / "truth_frames.jsonl")
    assert sorted(p.name for p in drive.iterdir()) == [
        "camera-01",
        "camera-02",
        "drive.json",
        "truth.jsonl",
        "truth_frames.jsonl",
    ]
    for row in lines(drive / "truth.jsonl"):
        mine = [
            f
            for f in told
            if f["visible"]
            and (f["camera_id"], f["vehicle_id"]) == (row["camera_id"], row["vehicle_id"])
            and row["first_seen"] <= f["captured_at"] <= row["last_seen"]
        ]
        assert len(mine) == row["frames_visible"]
        assert row["max_plate_height_px"] == pytest.approx(max(f["height_px"] for f in mine), abs=0.06)
        assert {f["plate"] for f in mine} == {row["plate"]}
        assert row["legible_frames"] == sum(f["legible"] for f in mine)


def test_a_folder_with_something_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(FileExistsError, match="not an empty folder"):
        simulate(tmp_path, **SMALL)
    assert (tmp_path / "mine.txt").read_text() == "keep"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cameras": 0}, "cameras"),
        ({"fps": 0}, "frames/s"),
        ({"width": 641}, "even"),
        ({"seed": -1}, "seed"),
        ({"conditions": ["snow"]}, "snow"),
        ({"conditions": ["sun+night"]}, "exclude"),
        ({"codec": "gif"}, "gif"),
        ({"quality": 0}, "quality"),
    ],
)
def test_bad_arguments_say_what_is_wrong_and_leave_nothing(tmp_path: Path, change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        simulate(tmp_path / "a", **{**SMALL, **change})
    assert list(tmp_path.iterdir()) == []
