"""Truth against result: every outcome that a pass and a sighting can have."""

from pathlib import Path

import pytest

from fleet.monitor import percentile
from fleet.score import Pass, Seen, read_truth, score


def _pass(plate: str, first: int, last: int, camera: str = "c1", legible: int = 3) -> Pass:
    return Pass(
        camera_id=camera, vehicle_id=f"v-{plate}", plate=plate, region="DE", first_seen=first, last_seen=last,
        frames_visible=5, max_plate_height_px=30.0, legible_frames=legible,
    )  # fmt: skip


def _seen(plate: str, first: int, last: int, camera: str = "c1", name: str = "") -> Seen:
    return Seen(name or f"{plate}-{first}", camera, plate, first, last)


def test_each_pass_and_each_sighting_is_counted_once() -> None:
    passes = [
        _pass("AB12CD", 0, 2000),
        _pass("XY98ZW", 1000, 4000),
        _pass("QQ11QQ", 50_000, 52_000),
        _pass("LL77LL", 60_000, 61_000, legible=0),
    ]
    result = score(
        passes,
        [
            _seen("AB12CD", 100, 1900),
            _seen("AB12C0", 1950, 2100, name="twice"),
            _seen("XY98ZV", 1200, 3000),
            _seen("LL77LL", 60_100, 60_900),
            _seen("HELLO", 30_000, 31_000),
        ],
    )
    assert (result.passes, result.legible, result.sightings) == (4, 3, 5)
    assert result.right == 1
    assert [(one.plate, seen.plate) for one, seen in result.wrong] == [("XY98ZW", "XY98ZV")]
    assert [one.plate for one in result.missed] == ["QQ11QQ"]
    assert [seen.sighting_id for seen in result.doubled] == ["twice"]
    assert [seen.plate for seen in result.invented] == ["HELLO"]
    assert result.bonus == 1
    assert result.right_share == pytest.approx(1 / 3)


def test_a_vehicle_that_comes_back_makes_two_passes_and_two_sightings() -> None:
    passes = [_pass("AB12CD", 0, 2000), _pass("AB12CD", 20_000, 22_000)]
    result = score(passes, [_seen("AB12CD", 0, 1800), _seen("AB12CD", 20_100, 21_000)])
    assert (result.right, result.doubled, result.missed) == (2, [], [])


def test_the_same_plate_of_another_camera_or_time_is_not_taken() -> None:
    passes = [_pass("AB12CD", 0, 2000)]
    result = score(passes, [_seen("AB12CD", 0, 2000, camera="c2"), _seen("AB12CD", 9000, 9500)])
    assert len(result.invented) == 2
    assert len(result.missed) == 1


def test_neighbours_of_like_plates_are_told_apart_by_text() -> None:
    passes = [_pass("AB12CD", 0, 5000), _pass("AB12CE", 0, 5000)]
    result = score(passes, [_seen("AB12CE", 0, 100), _seen("AB12CD", 0, 100)])
    assert result.right == 2


def test_read_truth_shifts_times_and_refuses_other_files(tmp_path: Path) -> None:
    path = tmp_path / "truth.jsonl"
    path.write_text(
        '{"camera_id":"c1","vehicle_id":"v","plate":"AB12","region":"DE","first_seen":5,"last_seen":9,'
        '"frames_visible":2,"max_plate_height_px":9.5,"conditions":["sun"],"unknown":1}\n'
    )
    (one,) = read_truth(path, shift_ms=100)
    assert (one.first_seen, one.last_seen) == (105, 109)
    path.write_text('{"a":1}')
    with pytest.raises(ValueError, match="not a truth file"):
        read_truth(path)


def test_percentile_is_the_nearest_rank() -> None:
    values = list(range(1, 101))
    assert (percentile(values, 0.5), percentile(values, 0.99), percentile([7], 0.99)) == (50.0, 99.0, 7.0)
