"""Many reads, one text: who wins, with what confidence, and that the order does not matter."""

import itertools
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.text import GAP_COST, align, distance, fragment, substitution
from streams.vote import Ballot, vote


def ballot(
    text: str,
    confidence: float = 0.7,
    height: float = 24,
    sharpness: float = 200.0,
    legibility: float = 1.0,
    probs: tuple[tuple[tuple[str, float], ...], ...] = (),
    region: str = "",
) -> Ballot:
    return Ballot(text, confidence, height, sharpness, legibility, probs, region, 0.8 if region else 0.0)


def test_three_that_agree_beat_a_lone_sure_blurred_read() -> None:
    blurred = ballot("A8C123", confidence=0.99, height=12, sharpness=15.0, legibility=0.5)
    said = vote([ballot("ABC123", 0.6), ballot("ABC123", 0.55), ballot("ABC123", 0.6), blurred])
    assert said.plate == "ABC123"
    assert said.candidates[0].plate == "ABC123"
    assert "A8C123" in {c.plate for c in said.candidates}


def test_characters_vote_where_no_read_is_right_as_a_whole() -> None:
    said = vote([ballot("A8C123"), ballot("ABC128"), ballot("ABO123")])
    assert said.plate == "ABC123"


def test_second_thoughts_of_the_reader_count() -> None:
    sure = tuple(((c, 0.99),) for c in "BC123")
    unsure = (("8", 0.5), ("B", 0.48))
    reads = [ballot("8BC123", 0.5, probs=(unsure, *sure)) for _ in range(2)]
    said = vote([*reads, ballot("BBC123", 0.9)])
    assert said.plate == "BBC123"


def test_a_lost_character_is_found_again() -> None:
    assert vote([ballot("XY4455"), ballot("BXY4455"), ballot("BXY445"), ballot("BXY4455")]).plate == "BXY4455"


def test_an_extra_character_goes() -> None:
    assert vote([ballot("ABC1234"), ballot("ABC123"), ballot("ABC123")]).plate == "ABC123"


@pytest.mark.parametrize("piece", ["BC1234", "ABC123"])
def test_an_end_that_was_hidden_from_most_reads_stays(piece: str) -> None:
    said = vote([ballot("ABC1234"), ballot("ABC1234"), *[ballot(piece, 0.95)] * 5])
    assert said.plate == "ABC1234"


def test_what_was_read_comes_before_what_only_characters_make_up() -> None:
    said = vote([ballot("ABC123", 0.5), ballot("A8C12B", 0.5), ballot("ABC128", 0.4)])
    shares = {c.plate: c.confidence for c in said.candidates}
    read, blended = ("ABC123", "A8C12B", "ABC128"), ("ABC12B", "A8C123", "A8C128")
    assert said.plate in read
    assert shares["A8C12B"] > max(shares.get(text, 0.0) for text in blended[1:])


def test_what_was_read_with_another_length_stays_a_candidate() -> None:
    said = vote([ballot("TL49UO", 0.6), ballot("TL49UO", 0.5), ballot("TL49IJO", 0.5), ballot("TL49IJO", 0.45)])
    shares = {c.plate: c.confidence for c in said.candidates}
    assert said.plate == "TL49UO"
    assert 0.1 < shares["TL49IJO"] <= shares["TL49UO"]
    assert sum(shares.values()) <= 1.0 + 1e-9


def test_confidence_grows_with_agreement_and_falls_with_doubt() -> None:
    one = vote([ballot("ABC123", 0.6)]).confidence
    three = vote([ballot("ABC123", 0.6)] * 3).confidence
    torn = vote([ballot("ABC123", 0.6), ballot("ABC123", 0.6), ballot("XBC129", 0.6)]).confidence
    assert one == pytest.approx(0.6, abs=0.05)
    assert three > 0.8
    assert torn < three
    assert vote([ballot("ABC123", 0.15)] * 4).confidence > 0.5


def test_regions_vote_too() -> None:
    said = vote([ballot("ABC123", region="DE"), ballot("ABC123", region="DE"), ballot("ABC123", region="FR")])
    assert said.region == "DE"
    assert vote([ballot("ABC123")]).region == ""


texts = st.text("ABC8120", min_size=1, max_size=8)
ballots = st.lists(
    st.builds(ballot, text=texts, confidence=st.floats(0, 1), height=st.floats(1, 80), sharpness=st.floats(0, 900)),
    min_size=1,
    max_size=6,
)


@given(ballots)
def test_a_vote_is_a_distribution_and_its_order_does_not_matter(drawn: list[Ballot]) -> None:
    said = vote(drawn)
    assert said.plate
    assert said.candidates[0].plate == said.plate
    assert 0.0 <= said.confidence <= 1.0
    assert sum(c.confidence for c in said.candidates) <= 1.0 + 1e-6
    assert len({c.plate for c in said.candidates}) == len(said.candidates)
    for other in itertools.islice(itertools.permutations(drawn), 5):
        assert vote(other) == said


@given(texts, texts, texts)
def test_distance_is_a_metric_up_to_its_weights(a: str, b: str, c: str) -> None:
    assert distance(a, a) == 0
    assert distance(a, b) == pytest.approx(distance(b, a))
    assert (distance(a, b) == 0) == (a == b)
    assert distance(a, b) <= 0.8 * (len(a) + len(b)) + 1e-9


@given(texts, texts)
def test_distance_is_the_cheapest_way(a: str, b: str) -> None:
    @cache
    def cheapest(i: int, j: int) -> float:
        if not i or not j:
            return (i + j) * GAP_COST
        change = cheapest(i - 1, j - 1) + substitution(a[i - 1], b[j - 1])
        return min(change, cheapest(i - 1, j) + GAP_COST, cheapest(i, j - 1) + GAP_COST)

    assert distance(a, b) == pytest.approx(cheapest(len(a), len(b)))


@pytest.mark.parametrize(
    ("part", "piece"), [("KLM4", True), ("M471", True), ("KIM4", True), ("KIM4T", False), ("LM", False)]
)
def test_a_piece_of_a_plate_is_known_by_its_characters(part: str, piece: bool) -> None:
    assert fragment(part, "KLM471") is piece
    assert not fragment("KLM471", part)


@given(texts, texts)
def test_an_alignment_rises_and_stays_inside(a: str, b: str) -> None:
    places = [p for p in align(a, b) if p >= 0]
    assert places == sorted(set(places))
    assert all(p < len(b) for p in places)
    assert align(a, a) == tuple(range(len(a)))


def test_lookalikes_are_near() -> None:
    assert distance("ABC0I2", "A8CO1Z") == pytest.approx(1.2)
    assert distance("ABC123", "ABX123") == 1.0
    assert distance("ABC123", "BC123") == 0.8
