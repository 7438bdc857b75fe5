"""The tracker on scripted roads: what is one sighting and what are two, and what a replay may not change."""

import math
import random
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scenes import T0, Car, Road, frame, read

import streams.tracker
from plumbing.clock import from_ms, to_ms
from schemas.read import CloseTracks, FrameReads, ReadsMessage
from schemas.sighting import Sighting
from streams.settings import TrackerSettings
from streams.telling import vote_of
from streams.track import (
    CameraState,
    decode_state,
    encode_crops,
    encode_state,
    new_state,
)
from streams.tracker import camera_message, has_open, step

FAR = 1 << 60


def play(messages: Iterable[ReadsMessage], state: CameraState | None = None, offset: int = 0) -> list[Sighting]:
    """All that is told of these messages, closed at the end."""
    messages = list(messages)
    state = state or new_state(messages[0].camera_id)
    told = []
    for message in [*messages, CloseTracks(camera_id=messages[0].camera_id, seq=FAR, sent_at=0)]:
        state, more = step(state, message, offset, T0)
        offset += 1
        told += more
    assert not has_open(state)
    return told


def fold(told: Iterable[Sighting]) -> list[Sighting]:
    """The last revision of each sighting that stands, by first sight; revisions must have risen by one."""
    last: dict[str, Sighting] = {}
    for sighting in told:
        before = last.get(sighting.sighting_id)
        assert sighting.revision == (before.revision + 1 if before else 1)
        assert before is None or sighting.opened_at == before.opened_at
        last[sighting.sighting_id] = sighting
    return sorted((s for s in last.values() if s.status != "withdrawn"), key=lambda s: (s.first_seen, s.plate))


def plates(told: Iterable[Sighting]) -> list[str]:
    return [s.plate for s in fold(told)]


def test_one_pass_is_one_sighting_that_opens_at_once_and_ends_final() -> None:
    told = play(Road("cam", [Car("KLM4711", 1, 5)], 8).frames())
    assert [s.status for s in told] == ["provisional", "provisional", "final"]
    assert {s.plate for s in told} == {"KLM4711"}
    assert told[0].frames == 2
    final = told[-1]
    assert (final.frames, final.votes) == (20, 20)
    assert to_ms(final.first_seen) == T0 + 1000
    assert to_ms(final.last_seen) == T0 + 4800
    assert final.direction == "approaching"
    assert final.region == "DE"
    assert final.confidence > told[0].confidence


def test_no_vote_is_held_that_cannot_tell_more(monkeypatch: pytest.MonkeyPatch) -> None:
    held = []

    def counted(track):  # type: ignore[no-untyped-def]
        held.append(track.frames)
        return vote_of(track)

    monkeypatch.setattr(streams.tracker, "vote_of", counted)
    steady = Road("cam", [Car("KLM4711", 1, 11, width0=100, width1=100, confidence=0.95)], 13)
    assert len(play(steady.frames())) == len(held) == 2
    # another text that gains on the told one is voted on while the vehicle is in sight
    held.clear()
    texts = ("KLM4711",) * 10 + ("KLM4712",) * 40
    told = play(Road("cam", [Car("KLM4712", 1, 11, confidence=0.95, texts=texts)], 13).frames())
    assert list(dict.fromkeys(s.plate for s in told)) == ["KLM4711", "KLM4712"]
    assert next(s for s in told if s.plate == "KLM4712").status == "provisional"


def test_flickering_reads_are_one_sighting_with_the_right_text() -> None:
    texts = ("ABC123", "A8C123", "ABC123", "", "ABC1Z3", "ABCI23", "ABC123")
    assert plates(play(Road("cam", [Car("ABC123", 0, 7, texts=texts)], 9).frames())) == ["ABC123"]


def test_a_read_that_loses_a_character_joins() -> None:
    texts = ("BXY4455", "BXY4455", "XY4455", "BXY445", "BXY4455")
    assert plates(play(Road("cam", [Car("BXY4455", 0, 5, texts=texts)], 7).frames())) == ["BXY4455"]


def test_two_near_cars_with_similar_plates_stay_two() -> None:
    cars = [
        Car("ABC123", 0, 6, lane=400, texts=("ABC123", "ABC123", "A8C123")),
        Car("ABC124", 0, 6, lane=560, texts=("ABC124", "", "ABC124")),
    ]
    assert plates(play(Road("cam", cars, 8).frames())) == ["ABC123", "ABC124"]


def test_a_plate_that_is_found_twice_in_every_frame_is_one_sighting() -> None:
    frames = [
        frame("cam", n, T0 + 200 * n, [read("VKH402", 500 + n, 400, 90), read("VKH402", 560 + n, 412, 80, 0.7)])
        for n in range(1, 20)
    ]
    (one,) = fold(play(frames))
    assert (one.plate, one.frames) == ("VKH402", 19)


def test_two_tracks_that_take_turns_at_one_place_are_one_vehicle() -> None:
    texts = ["VKH402"] * 4 + ["VWH492", "VKH402"] * 8
    frames = [frame("cam", n, T0 + 200 * n, [read(t, 500, 400, 60, 0.95)]) for n, t in enumerate(texts, start=1)]
    assert plates(play(frames)) == ["VKH402"]


def test_a_vehicle_that_takes_anothers_place_is_a_second_one() -> None:
    texts = ["VKH402"] * 8 + ["VWH492"] * 12
    frames = [frame("cam", n, T0 + 200 * n, [read(t, 500, 400, 60, 0.95)]) for n, t in enumerate(texts, start=1)]
    assert plates(play(frames)) == ["VKH402", "VWH492"]


@pytest.mark.parametrize(("confidence", "wanted"), [(0.5, ["9Y44715"]), (0.3, [])])
def test_what_alone_would_be_a_sighting_is_one_beside_what_says_nothing(confidence: float, wanted: list[str]) -> None:
    frames = [
        frame("cam", 1, T0, [read("9T447I8", 600, 400, 60, 0.01)]),
        frame("cam", 2, T0 + 200, [read("9T547I8", 605, 401, 62, 0.01)]),
        frame("cam", 3, T0 + 400, [read("9Y44715", 610, 402, 64, confidence)]),
    ]
    assert plates(play(frames)) == wanted


def test_a_read_at_the_edge_that_is_as_long_as_the_others_has_a_say() -> None:
    def pass_by(last: str) -> list[Sighting]:
        inside = [frame("cam", n, T0 + 200 * n, [read("OHEJ74", 130 - 40 * n, 400, 40, 0.3)]) for n in (1, 2)]
        return fold(play([*inside, frame("cam", 3, T0 + 600, [read(last, 20, 401, 42, 0.9)])]))

    assert [s.plate for s in pass_by("QHEJ74")] == ["QHEJ74"]
    (piece,) = pass_by("HEJ74")
    assert (piece.plate, piece.frames) == ("OHEJ74", 2)


def test_what_says_nothing_does_not_take_the_place_of_the_tracks_own_text() -> None:
    """A bump throws the plate aside while something unreadable is found where it was expected."""
    frames = []
    for n in range(1, 16):
        bump = 150 if n >= 8 else 0
        reads = [read("VKH402", 500 + bump, 400, 60, 0.5)]
        if n == 8:
            reads.append(read("", 502, 401, 62))
        frames.append(frame("cam", n, T0 + 200 * n, reads))
    (one,) = fold(play(frames))
    assert (one.plate, one.frames) == ("VKH402", 15)


@pytest.mark.parametrize(("times", "sightings"), [(2, 1), (6, 2)])
def test_a_misread_in_the_same_spot_is_no_vehicle_unless_it_is_read_again_and_again(times: int, sightings: int) -> None:
    texts = ["VKH402"] * 8 + ["VWH492"] * times + ["VKH402"] * 6
    frames = [frame("cam", n, T0 + 200 * n, [read(text, 500, 400, 60, 0.95)]) for n, text in enumerate(texts, start=1)]
    told = fold(play(frames))
    assert len(told) == sightings
    assert told[0].plate == "VKH402"


def test_many_plates_in_one_frame() -> None:
    cars = [Car(f"QRS{i}0{i}", 0.4 * i, 4 + 0.4 * i, lane=80 + 150 * i) for i in range(8)]
    assert plates(play(Road("cam", cars, 10).frames())) == [car.plate for car in cars]


def test_crossing_vehicles_keep_their_plates() -> None:
    cars = [Car("LEFT11", 0, 6, lane=300, drift=80), Car("RGHT22", 0, 6, lane=780, drift=-80)]
    assert sorted(plates(play(Road("cam", cars, 8).frames()))) == ["LEFT11", "RGHT22"]


def test_a_vehicle_that_comes_back_after_the_gap_is_a_new_sighting() -> None:
    cars = [Car("KLM471", 0, 3), Car("KLM471", 8.6, 11)]
    told = play(Road("cam", cars, 13).frames())
    assert plates(told) == ["KLM471", "KLM471"]
    cars = [Car("KLM471", 0, 3), Car("KLM471", 7.2, 11)]
    assert plates(play(Road("cam", cars, 13).frames())) == ["KLM471"]


def test_the_gap_is_a_setting() -> None:
    frames = Road("cam", [Car("KLM471", 0, 3), Car("KLM471", 5, 8)], 9).frames()
    state, told = new_state("cam"), []
    for i, message in enumerate(frames):
        state, more = step(state, message, i, T0, TrackerSettings(gap_s=1.5))
        told += more
    assert len({s.sighting_id for s in told}) == 2


def test_a_camera_that_jumped_elsewhere_sees_a_new_sighting() -> None:
    here = Road("cam", [Car("KLM471", 0, 2)], 2).frames()
    there = Road("cam", [Car("KLM471", 0, 2)], 2, first_seq=11, t0=T0 + 2000, position=(52.1, 13.0)).frames()
    assert plates(play([*here, *there])) == ["KLM471", "KLM471"]


def test_another_vehicle_in_the_same_place_is_another_sighting() -> None:
    cars = [Car("AAA111", 0, 2, lane=500), Car("ZZW987", 2, 4, lane=500)]
    assert plates(play(Road("cam", cars, 6).frames())) == ["AAA111", "ZZW987"]


def test_unreadable_plates_keep_a_track_alive_but_make_no_sighting() -> None:
    texts = ("MNP321", "MNP321", *[""] * 40, "MNP321")
    assert plates(play(Road("cam", [Car("MNP321", 0, 8.6, texts=texts)], 10).frames())) == ["MNP321"]
    assert play(Road("cam", [Car("", 0, 5)], 6).frames()) == []


def test_a_single_weak_read_is_no_sighting_and_a_single_sure_one_is() -> None:
    assert play([frame("cam", 1, T0, [read("WEAK11", 300, 300, 60, confidence=0.3)])]) == []
    told = play([frame("cam", 1, T0, [read("SURE11", 300, 300, 60, confidence=0.7)])])
    assert [(s.status, s.frames) for s in told] == [("final", 1)]


def test_a_still_picture_is_final_at_once_and_never_moves_into_another() -> None:
    pictures = [
        frame("dir", 1, T0, [read("ABC123", 300, 300, 60)], still=True),
        frame("dir", 2, T0 + 10, [read("ABC124", 300, 300, 60)], still=True),
        frame("dir", 3, T0 + 20, [read("ABC123", 700, 100, 20)], still=True),
    ]
    state, told = new_state("dir"), []
    for i, picture in enumerate(pictures):
        state, more = step(state, picture, i, T0)
        told += more
    assert not has_open(state)
    assert [(s.plate, s.status, s.frames, s.revision) for s in told] == [
        ("ABC123", "final", 1, 1),
        ("ABC124", "final", 1, 1),
        ("ABC123", "final", 2, 2),
    ]


def test_a_thousand_still_pictures_keep_the_state_small() -> None:
    state = new_state("dir")
    for i in range(1000):
        picture = frame("dir", i, T0 + i, [read(f"P{i:05d}", 300, 300, 60)], still=True)
        state, told = step(state, picture, i, T0)
        assert len(told) == 1
    assert len(encode_state(state)) < 64_000
    assert len(state.crops) <= 32


def test_a_changed_plate_is_withdrawn_under_the_old_one() -> None:
    reads = ["B8C777"] * 2 + ["BBC777"] * 20
    frames = [frame("cam", i, T0 + 200 * i, [read(t, 300, 300, 60)]) for i, t in enumerate(reads)]
    told = play(frames)
    assert [(s.plate, s.status) for s in told][:3] == [
        ("B8C777", "provisional"),
        ("B8C777", "withdrawn"),
        ("BBC777", "provisional"),
    ]
    withdrawn = told[1]
    assert withdrawn.candidates[0].plate == "BBC777"
    assert plates(told) == ["BBC777"]
    assert fold(told)[0].former_plates == ("B8C777",)


def test_the_evidence_is_the_winning_reads_own() -> None:
    texts = ("ABC123", "ABC128", "ABC123", "ABC123")
    for sighting in play(Road("cam", [Car("ABC123", 0, 6, texts=texts)], 7).frames()):
        if sighting.status != "withdrawn":
            evidence = sighting.evidence
            assert evidence.crop_jpeg.startswith(b"\xff\xd8ABC123@")
            assert evidence.frame_sha256 == f"{evidence.seq:064x}"
            assert evidence.offset == evidence.seq


def test_silence_closes_and_a_later_word_of_the_camera_forbids_it() -> None:
    frames = Road("cam", [Car("KLM471", 0, 2)], 2).frames()
    state = new_state("cam")
    for i, message in enumerate(frames):
        state, _ = step(state, message, i, T0)
    state, told = step(state, CloseTracks(camera_id="cam", seq=frames[-2].seq, sent_at=0), 50, T0)
    assert told == []
    assert has_open(state)
    state, told = step(state, CloseTracks(camera_id="cam", seq=frames[-1].seq, sent_at=0), 51, T0)
    assert [s.status for s in told] == ["final"]


def test_a_sighting_closed_by_silence_goes_on_when_the_camera_was_only_delayed() -> None:
    frames = Road("cam", [Car("KLM471", 0, 6)], 8).frames()
    state, told = new_state("cam"), []
    close = CloseTracks(camera_id="cam", seq=frames[14].seq, sent_at=0)
    for i, message in enumerate([*frames[:15], close, *frames[15:]]):
        state, more = step(state, message, i, T0)
        told += more
    told += step(state, CloseTracks(camera_id="cam", seq=FAR, sent_at=0), 99, T0)[1]
    (final,) = fold(told)
    assert (final.frames, final.status) == (30, "final")


def test_a_late_frame_joins_the_closed_sighting_it_belongs_to() -> None:
    frames = Road("cam", [Car("KLM471", 0, 3)], 20).frames()
    late = frames.pop(7)
    told = play([*frames, late])
    (final,) = fold(told)
    assert (final.frames, final.status) == (15, "final")


def test_bad_numbers_change_nothing_else() -> None:
    good = Road("cam", [Car("KLM471", 0, 3)], 5).frames()
    broken = read("KLM471", 300, 300, 60)
    inf = math.inf
    values = {name: getattr(broken, name) for name in broken.__struct_fields__}
    broken = type(broken)(**(values | {"box": (inf, math.nan, 0.0, -1.0), "sharpness": math.nan}))
    bad = [
        frame("cam", 900, T0 + 3000, [broken], luma=math.nan),
        frame("cam", 901, T0 + 3100, [read("X" * 10_000, 300, 300, 60)]),
        frame("cam", 902, T0 + 3200, [read("KLM471", 300, 300, 60)], lat=123.0, lon=math.nan),
    ]
    told = play([*good, *bad])
    assert plates(told) == ["KLM471"]
    for sighting in told:
        assert sighting.lat is None or -90 <= sighting.lat <= 90


@pytest.mark.parametrize("captured", [0, -5, T0 + 400 * 86_400_000])
def test_an_impossible_camera_clock_is_corrected_by_the_brokers(captured: int) -> None:
    frames = [
        frame("cam", i, captured + 200 * i, [read("KLM471", 300, 300, 60)], published_at=T0 + 200 * i)
        for i in range(10)
    ]
    (final,) = fold(play(frames))
    assert to_ms(final.first_seen) == T0
    assert to_ms(final.last_seen) == T0 + 1800


def test_a_backlog_from_before_is_tracked_in_its_own_time() -> None:
    live = Road("cam", [Car("NEW111", 0, 3)], 8, first_seq=1000, t0=T0 + 3_600_000).frames()
    backlog = Road("cam", [Car("KLM471", 0, 3)], 8, first_seq=1).frames()
    assert sorted(plates(play([*live, *backlog]))) == ["KLM471", "NEW111"]


def test_camera_state_counts_frames_and_gaps() -> None:
    frames = Road("cam", [], 4).frames()
    del frames[5:8]
    state = new_state("cam")
    for i, message in enumerate(frames):
        state, _ = step(state, message, i, T0)
    said = camera_message(state, "live", from_ms(T0))
    assert (said.frames, said.missing, said.last_seq) == (17, 3, 20)
    assert said.clock_skew_ms == -20


# --- invariants

cars = st.lists(
    st.builds(
        Car,
        plate=st.sampled_from(["AAA111", "BCD234", "XYZ987", "KLM555", "QWE862"]),
        start=st.floats(0, 10).map(lambda s: round(s, 1)),
        end=st.just(0.0),
        lane=st.just(0.0),
    ),
    max_size=4,
    unique_by=lambda car: car.plate,
)


def scripted(drawn: Sequence[Car], fps: float) -> Road:
    """Cars in lanes far apart, each on the road for four seconds."""
    spread = [Car(c.plate, c.start, c.start + 4, lane=150 + 330 * i) for i, c in enumerate(drawn)]
    return Road("cam", spread, 20, fps=fps)


def substance(told: Iterable[Sighting]) -> list[tuple[object, ...]]:
    """What must not depend on the order of arrival."""
    return [(s.plate, s.first_seen, s.last_seen, s.frames, s.votes, s.status) for s in fold(told)]


@settings(max_examples=40, deadline=None)
@given(cars, st.sampled_from([5.0, 10.0, 25.0]))
def test_every_read_is_in_one_sighting_and_every_sighting_covers_its_reads(drawn: list[Car], fps: float) -> None:
    frames = scripted(drawn, fps).frames()
    folded = fold(play(frames))
    assert sorted(s.plate for s in folded) == sorted(car.plate for car in drawn)
    assert sum(s.frames for s in folded) == sum(len(f.reads) for f in frames)
    for sighting in folded:
        times = [f.captured_at for f in frames if any(r.plate == sighting.plate for r in f.reads)]
        assert (to_ms(sighting.first_seen), to_ms(sighting.last_seen)) == (times[0], times[-1])


@settings(max_examples=40, deadline=None)
@given(cars, st.randoms(use_true_random=False))
def test_duplicates_and_disorder_within_the_window_change_nothing(drawn: list[Car], rng: random.Random) -> None:
    frames = scripted(drawn, 5.0).frames()
    mixed: list[FrameReads] = []
    for frame_ in frames:
        # up to four frames late, and now and then twice
        mixed.insert(max(0, len(mixed) - rng.choice((0, 0, 1, 2, 4))), frame_)
        if rng.random() < 0.2:
            mixed.append(rng.choice(mixed[-5:]))
    assert substance(play(mixed)) == substance(play(frames))


@settings(max_examples=30, deadline=None)
@given(cars, st.integers(0, 99), st.integers(0, 30))
def test_a_replay_from_any_written_state_tells_the_same_again(drawn: list[Car], crash: int, back: int) -> None:
    frames = scripted(drawn, 5.0).frames()
    whole = play(frames)
    state, before = new_state("cam"), []
    for offset, message in enumerate(frames[:crash]):
        state, told = step(state, message, offset, T0)
        before += told
    restored = decode_state(encode_state(state), {uid: encode_crops(c) for uid, c in state.crops.items()})
    again = []
    start = max(0, crash - back)
    for offset, message in enumerate(frames[start:], start=start):
        restored, told = step(restored, message, offset, T0)
        again += told
    restored, told = step(restored, CloseTracks(camera_id="cam", seq=FAR, sent_at=0), len(frames), T0)
    # what was told before the crash and after it is, to the letter, what one run tells
    assert before + again + told == whole


def test_a_plate_that_leaves_the_picture_is_not_read_by_the_piece_that_is_left() -> None:
    road = Road("cam", [Car("KLM4711", 1, 3)], 3).frames()
    leaving = [frame("cam", 100 + i, T0 + 3000 + 200 * i, [read("KLM4", 1250, 400, 100, 0.99)]) for i in range(4)]
    told = play([*road, *leaving])
    assert plates(told) == ["KLM4711"]
    assert fold(told)[0].frames == 10
    assert plates(play(leaving)) == []


def test_a_photograph_that_is_cropped_to_its_plate_is_read_to_the_edge() -> None:
    shown = frame(
        "cam", 1, T0, [read("KLM4711", 60, 15, 120, 0.99)], Road("cam", [], 1, still=True), width=120, height=30
    )
    assert plates(play([shown])) == ["KLM4711"]


@pytest.mark.parametrize("texts", [("KLM4711", "KLM47", "KLM47"), ("KLM47", "KLM47", "KLM4711", "KLM4711", "KLM4711")])
def test_a_plate_that_is_half_hidden_for_a_while_stays_one_vehicle(texts: tuple[str, ...]) -> None:
    told = play(Road("cam", [Car("KLM4711", 1, 4, texts=texts)], 6).frames())
    assert plates(told) == ["KLM4711"]


def test_what_is_hardly_ever_right_is_no_sighting() -> None:
    texts = ("KLM4711", "KIM47T1")
    weak = [frame("cam", i, T0 + 200 * i, [read(texts[i], 600 + 9 * i, 400, 90, 0.02)]) for i in range(2)]
    assert plates(play(weak)) == []


@pytest.mark.parametrize(("text", "times", "sightings"), [("47A", 1, 0), ("47A", 2, 1), ("K47AB", 1, 1)])
def test_a_short_text_takes_more_than_one_read(text: str, times: int, sightings: int) -> None:
    """It may be the end of a plate that another vehicle hides."""
    told = play([frame("cam", n, T0 + 200 * n, [read(text, 500 + 9 * n, 400, 60, 0.95)]) for n in range(times)])
    assert len(fold(told)) == sightings


def test_misreads_on_the_way_of_a_vehicle_are_its_own() -> None:
    """A simulated pass that was told twice: the misreads, which none of them is alike, began a track of their own."""
    reads = [
        *((775, 356, 30, "141H8", 0.0), (789, 356, 36, "593UKZ", 0.0), (806, 358, 40, "191BK2", 0.01)),
        *((824, 362, 40, "59BEK2", 0.25), (843, 363, 40, "69BBK2", 0.44), (), (), (), (952, 383, 59, "59BBK2", 1.0)),
    ]
    frames = [
        frame("cam", n, T0 + 200 * n, [read(seen[3], *seen[:3], seen[4])] if seen else [])
        for n, seen in enumerate(reads)
    ]
    assert plates(play(frames)) == ["59BBK2"]


_GUESSED = ("PIMN41", "FVW1960", "TN3N14", "PM111", "16H01", "NNK911", "PH60", "HT991")
AFAR = [text[k:] + text[:k] for k in range(5) for text in _GUESSED]
"""What is said, frame by frame, of a plate nine pixels high."""


def test_a_vehicle_that_is_too_far_away_to_be_read_for_a_while_stays_one() -> None:
    """A simulated pass that was told twice: for more than the gap every read of it said something else."""
    texts = [*[("PYM3981", 0.95)] * 8, *[(text, 0.0) for text in AFAR], *[("PYM3981", 0.9)] * 8]
    sizes = [max(30, 60 - 4 * n, 60 - 4 * (len(texts) - n)) for n in range(len(texts))]
    frames = [
        frame("cam", n, T0 + 200 * n, [read(text, 600 + n, 400, width, sure)])
        for n, ((text, sure), width) in enumerate(zip(texts, sizes, strict=True))
    ]
    (one,) = fold(play(frames))
    assert (one.plate, one.frames) == ("PYM3981", 16)
    assert (one.last_seen - one.first_seen).total_seconds() == pytest.approx(11.0)


def test_another_vehicle_that_hides_one_for_a_moment_stays_another() -> None:
    reads = ["VKH402"] * 5 + ["M8XTR31"] + ["VKH402"] * 5
    frames = [frame("cam", n, T0 + 200 * n, [read(text, 500 + 5 * n, 400, 60, 0.95)]) for n, text in enumerate(reads)]
    assert sorted(plates(play(frames))) == ["M8XTR31", "VKH402"]
