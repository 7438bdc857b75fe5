"""The offset that may be committed never passes a record that is not done."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plumbing.bus import TopicPartition
from workers.ledger import Ledger

P0, P1 = TopicPartition("fleet.frames", 0), TopicPartition("fleet.frames", 1)


def ledger_of(*offsets: int) -> Ledger:
    ledger = Ledger()
    for offset in offsets:
        ledger.add(P0, offset, 10)
    return ledger


def test_only_the_leading_run_may_be_committed() -> None:
    ledger = ledger_of(5, 6, 7, 9)
    assert ledger.committable() == {}
    assert ledger.done(P0, 6)
    assert ledger.committable() == {}
    assert ledger.done(P0, 5)
    assert ledger.committable() == {P0: 7}
    ledger.done(P0, 9)
    assert ledger.committable() == {P0: 7}
    ledger.done(P0, 7)
    assert ledger.committable() == {P0: 10}
    assert (ledger.in_flight, ledger.in_flight_bytes) == (0, 0)


def test_what_was_committed_is_not_committed_again() -> None:
    ledger = ledger_of(0, 1)
    ledger.done(P0, 0)
    ledger.committed(ledger.committable())
    assert ledger.committable() == {}
    ledger.done(P0, 1)
    assert ledger.committable() == {P0: 2}


def test_unknown_and_repeated_acknowledgements_change_nothing() -> None:
    ledger = ledger_of(3)
    assert not ledger.done(P0, 2)
    assert not ledger.done(P1, 3)
    assert ledger.done(P0, 3)
    assert not ledger.done(P0, 3)
    assert ledger.in_flight == 0


def test_dropped_partitions_are_forgotten_and_may_come_back() -> None:
    ledger = ledger_of(3, 4)
    ledger.add(P1, 1, 7)
    ledger.done(P0, 3)
    ledger.drop([P0])
    assert ledger.committable() == {}
    assert (ledger.in_flight, ledger.in_flight_bytes) == (1, 7)
    assert not ledger.done(P0, 4)
    ledger.add(P0, 3, 10)
    ledger.done(P0, 3)
    assert ledger.committable() == {P0: 4}


def test_offsets_must_rise() -> None:
    ledger = ledger_of(4)
    with pytest.raises(ValueError, match="offset 4 comes after 4"):
        ledger.add(P0, 4)
    ledger.done(P0, 4)
    with pytest.raises(ValueError, match="offset 2 comes after 4"):
        ledger.add(P0, 2)


@given(
    st.lists(st.integers(1, 3), min_size=1, max_size=40).flatmap(
        lambda gaps: st.tuples(st.just(gaps), st.permutations(range(len(gaps))), st.sets(st.integers(0, 39)))
    )
)
def test_in_any_order_the_commit_never_passes_a_record_in_flight(case: tuple[list[int], list[int], set[int]]) -> None:
    gaps, order, commits = case
    offsets = [sum(gaps[: n + 1]) for n in range(len(gaps))]
    ledger = ledger_of(*offsets)
    open_offsets = set(offsets)
    committed = 0
    for step, index in enumerate(order):
        ledger.done(P0, offsets[index])
        open_offsets.discard(offsets[index])
        assert ledger.in_flight == len(open_offsets)
        if step in commits:
            due = ledger.committable()
            ledger.committed(due)
            committed = due.get(P0, committed)
            assert committed <= min(open_offsets, default=offsets[-1] + 1)
    assert {P0: committed} | ledger.committable() == {P0: offsets[-1] + 1}
