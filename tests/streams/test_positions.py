"""Positions: whatever Faust delivers, in whatever order, each message is taken once and none is committed over."""

import random

from plumbing.bus import Record
from streams.positions import Positions

READS = ("reads", 0)
CAMERAS = ("cameras", 1)


def begun(offset: int = 10) -> Positions:
    positions = Positions(["reads", "cameras"], ["cameras"], patience_s=1.0)
    positions.begin({READS: offset}, 0.0)
    return positions


def admitted(positions: Positions, *offsets: int, now: float = 0.0) -> list[bool]:
    return [positions.admit(READS, offset, now) for offset in offsets]


def records(*offsets: int) -> list[Record]:
    return [Record(*READS, offset, 0, None, b"", ()) for offset in offsets]


def test_of_a_list_is_taken_what_would_be_taken_one_by_one() -> None:
    dice = random.Random(2)
    for _ in range(2_000):
        topic, number = dice.choice([READS, CAMERAS])
        alone, whole = begun(), begun()
        for positions in (alone, whole):
            positions.begin({CAMERAS: 10}, 0.0)
        for now in (1.0, 2.0, 3.0):
            first = dice.randrange(8, 14)
            offsets = sorted(dice.sample(range(first, first + 6), dice.randrange(6)))
            some = [Record(topic, number, offset, 0, None, b"", ()) for offset in offsets]
            one_by_one = [o for o in offsets if alone.admit((topic, number), o, now)]
            assert [r.offset for r in whole.admit_all((topic, number), some, now)] == one_by_one
            assert whole.still(now + 1.5, ["reads", "cameras"]) == alone.still(now + 1.5, ["reads", "cameras"])
    assert whole.admit_all(("other", 0), records(10), 1.0) == []


def test_the_next_message_is_taken_and_no_other() -> None:
    positions = begun()
    assert not positions.admit(("other", 0), 10, 0.0)
    assert admitted(positions, 9, 10, 10, 12, 11, 12) == [False, True, False, False, True, True]


def test_only_finished_messages_may_be_committed() -> None:
    positions = begun()
    admitted(positions, 10)
    assert positions.done(READS) == 10
    positions.finish(positions.epoch, READS, 10)
    assert positions.done(READS) == 11


def test_work_of_another_epoch_counts_for_nothing() -> None:
    positions = begun()
    admitted(positions, 10)
    before = positions.epoch
    positions.forget()
    assert positions.done(READS) is None
    assert admitted(positions, 11) == [False]
    positions.begin({READS: 10}, 5.0)
    positions.finish(before, READS, 10)
    assert positions.done(READS) == 10
    assert admitted(positions, 10) == [True]


def test_a_second_seek_does_not_move_what_is_known() -> None:
    positions = begun()
    admitted(positions, 10)
    positions.begin({READS: 10}, 1.0)
    assert admitted(positions, 10, 11) == [False, True]


def test_a_message_that_stays_away_is_asked_for_after_the_patience() -> None:
    positions = begun()
    admitted(positions, 10, 12, now=5.0)
    assert positions.still(5.9, ["reads"]) == []
    assert positions.still(6.1, []) == [], "its stream is at work"
    assert positions.still(6.1, ["reads"]) == [READS]
    assert positions.missing({READS: 0}, {READS: 13}, 6.1) == {}, "it may be on its way"
    assert positions.still(6.9, ["reads"]) == []
    assert positions.still(7.2, ["reads"]) == [READS]
    assert positions.missing({READS: 0}, {READS: 13}, 7.2) == {READS: 11}
    # it was asked for: the next look waits again
    assert positions.still(7.3, ["reads"]) == []
    assert positions.asked() == 1
    assert admitted(positions, 11, 12, now=7.4) == [True, True]
    assert positions.asked() == 0


def test_a_log_that_does_not_go_on_lacks_nothing_and_is_looked_at_less_often_in_time() -> None:
    positions = begun()
    assert positions.missing({READS: 0}, {READS: 10}, 1.0) == {}
    assert positions.still(2.1, ["reads"]) == [READS]
    assert positions.missing({READS: 0}, {READS: 10}, 40.0) == {}
    assert positions.still(44.0, ["reads"]) == []
    assert positions.still(45.1, ["reads"]) == [READS]


def test_what_retention_took_is_passed() -> None:
    positions = begun()
    assert admitted(positions, 40) == [False]
    assert positions.missing({READS: 5}, {READS: 50}, 1.0) == {}
    assert positions.missing({READS: 40}, {READS: 50}, 2.0) == {READS: 40}
    assert admitted(positions, 40) == [True]
    assert positions.done(READS) == 10


def test_holes_of_a_compacted_topic_are_passed_at_once() -> None:
    positions = begun()
    positions.begin({CAMERAS: 0}, 0.0)
    assert [positions.admit(CAMERAS, n, 0.0) for n in (3, 2, 9)] == [True, False, True]


def test_every_message_is_taken_once_whatever_the_delivery_loses_doubles_and_reorders() -> None:
    for seed in range(300):
        dice = random.Random(seed)
        positions = begun(0)
        taken: list[int] = []
        fetched, now, end = 0, 0.0, 60
        while len(taken) < end and now < 2000:
            now += 0.3
            stale = dice.randrange(max(1, fetched)) if fetched and dice.random() < 0.1 else None
            burst = range(fetched, min(end, fetched + dice.randrange(6)))
            fetched = max(fetched, burst.stop)
            # what is left out lay in an inbox that was emptied
            lists = [[stale] if stale is not None else [], [o for o in burst if dice.random() > 0.15]]
            for offsets in lists:
                taken += [r.offset for r in positions.admit_all(READS, records(*offsets), now)]
            ends = dict.fromkeys(positions.still(now, ["reads"]), end)
            if (back := positions.missing({}, ends, now)) and dice.random() > 0.2:
                fetched = back[READS]
        assert taken == list(range(end)), f"seed {seed}"
