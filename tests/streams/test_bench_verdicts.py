"""What the benchmarks say of their targets."""

import pytest

from bench import drives, sink, store, streams

GOOD = {
    "drives": 10, "passes": 110, "read": 100, "legible": 90, "sightings": 102, "doubled": 1, "wanted": 80,
    "alerted_once": 80, "all_passes": 90, "all_vote": 85, "all_surest": 80, "all_largest": 79, "all_any": 70.5,
    "hard_passes": 20, "hard_vote": 16, "hard_surest": 13, "hard_largest": 14, "hard_any": 9.5,
}  # fmt: skip


def said(**more: float) -> list[str]:
    tally = drives.Tally()
    tally.add(**{**GOOD, **more})
    return drives.verdicts(tally)


def test_each_target_of_the_drives_has_a_line() -> None:
    assert said() == [
        "sightings over passes with a read: 1.020 (target: 0.97 to 1.03): reached",
        "doubled sightings: 1.0 % (target: below 1%): reached",
        "right text of passes with single reads under 80%: vote +10.0 points over the largest read "
        "(target: +10 points over the best single read): reached",
        "hotlisted passes that were read right once, alerted exactly once: 80 of 80 (target: all): reached",
    ]


@pytest.mark.parametrize(
    ("number", "more"),
    [
        (0, {"sightings": 104}),
        (0, {"sightings": 96, "doubled": 0}),
        (1, {"doubled": 2}),
        (2, {"hard_surest": 15}),
        (2, {"hard_any": 14.5}),
        (3, {"alerted_once": 79}),
    ],
)
def test_a_target_that_is_missed_says_so(number: int, more: dict[str, float]) -> None:
    lines = said(**more)
    assert lines[number].endswith(": not reached")
    assert sum(line.endswith(": reached") for line in lines) == 3


def test_without_drives_nothing_is_claimed() -> None:
    lines = drives.verdicts(drives.Tally())
    assert len(lines) == 4
    assert all(line.endswith(": not measured") for line in lines)


def test_the_table_tells_what_the_vote_gains() -> None:
    tally = drives.Tally()
    tally.add(**GOOD)
    text = drives.table(tally)
    assert "gain of the vote over the best single read, all: +5.6 points (surest)" in text
    assert "gain of the vote over the best single read, the hard ones: +10.0 points (largest)" in text
    assert text.endswith("alerted exactly once: 80 of 80 (target: all): reached")


def test_the_other_benches_say_it_too() -> None:
    pure = {"reads_per_s": 20_000.0, "functions_alone_reads_per_s": 50_000.0}
    lines = streams.verdicts({"pure": pure, "worker": {"reads_per_s": 4_999.0}, "ratio": 0.25})
    assert [line.rpartition(": ")[2] for line in lines] == ["not reached", "not reached", "reached", "reached"]
    (line,) = sink.verdicts({"inserts": [{"kind": "reads", "block": 10_000, "rows_per_second": 61_234}]})
    assert line == "reads, blocks of 10,000 messages: 61,234 rows/s (target: 50,000): reached"
    questions = [
        {"question": "exact plate", "target_ms": 20, "ms": 20.0},
        {"question": "one letter off", "target_ms": None, "ms": 3.0},
    ]
    assert store.verdicts({"questions": questions}) == ["exact plate: 20.0 ms (target: under 20 ms): not reached"]
