"""The choice of tracks: what is passed over for speed must never have been the cheapest."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scenes import T0, frame, read

from streams import motion
from streams.track import Track, add_read, begin, new_state

TEXTS = ("ABC123", "A8C123", "ABC12", "KLM4711", "KLM471I", "XYZ98", "")


def scene(rng: random.Random) -> tuple[list[Track], list[motion.Offer], int]:
    """Tracks of one to five reads, some long over, and the reads of a frame among or after them."""
    state = new_state("cam")
    seq = 0
    for _ in range(rng.randint(0, 6)):
        x, t, text = rng.uniform(100, 700), T0 + rng.randrange(0, 6000), rng.choice(TEXTS)
        track = None
        for k in range(rng.randint(1, 5)):
            said = text if rng.random() < 0.7 else rng.choice(TEXTS)
            one = frame("cam", seq, t + 100 * k, [read(said, x + 4 * k, 300, 60 + k, rng.uniform(0.1, 1.0))])
            track = track or begin(state, one, 0, t)
            add_read(state, track, one, 0, said, t + 100 * k)
            seq += 1
    offers = [
        motion.Offer(rng.uniform(100, 700), 300, rng.uniform(50, 80), 15, rng.choice(TEXTS), rng.random())
        for _ in range(rng.randint(1, 4))
    ]
    return state.hot.tracks, offers, T0 + rng.randrange(0, 8000)


@settings(max_examples=300)
@given(st.randoms(use_true_random=False))
def test_each_read_goes_where_a_look_at_all_pairs_puts_it(rng: random.Random) -> None:
    tracks, offers, t = scene(rng)
    chosen = motion.choose(tracks, offers, t)
    if not tracks:
        assert chosen == [-1] * len(offers)
        return
    costs = [[motion.cost(k, motion.predict(k.seen, t), offer) for k in tracks] for offer in offers]
    limits = [motion.MAX_COST if offer.text else motion.MAX_COST_UNREAD for offer in offers]

    def price(columns: list[int]) -> float:
        return sum(costs[i][c] if c >= 0 else limits[i] for i, c in enumerate(columns))

    taken = [c for c in chosen if c >= 0]
    assert len(set(taken)) == len(taken)
    assert all(c < 0 or costs[i][c] <= limits[i] for i, c in enumerate(chosen))
    assert abs(price(chosen) - price(motion.assign(costs, limits))) < 1e-9


@pytest.mark.parametrize(
    ("text", "confidence", "x", "lead", "joined"),
    [
        ("16H01", 0.0, 306.0, 0.9, True),  # a guess where a known vehicle is
        ("16H01", 0.1, 306.0, 0.9, False),  # says something: another vehicle
        ("16H01", 0.0, 700.0, 0.9, False),  # elsewhere
        ("16H01", 0.0, 306.0, 0.1, False),  # beside a track that is a guess itself
    ],
)
def test_what_says_nothing_goes_to_a_known_vehicle_by_place(
    text: str, confidence: float, x: float, lead: float, joined: bool
) -> None:
    state = new_state("cam")
    one = frame("cam", 0, T0, [read("PYM3981", 300, 400, 60, lead)])
    track = begin(state, one, 0, T0)
    add_read(state, track, one, 0, "PYM3981", T0)
    offers = [motion.Offer(x, 400, 58, 14, text, confidence)]
    chosen = motion.choose([track], offers, T0 + 200)
    assert motion.by_place([track], offers, chosen, T0 + 200) == ({0: 0} if joined else {})


def test_each_track_takes_one_read_by_place() -> None:
    state = new_state("cam")
    one = frame("cam", 0, T0, [read("PYM3981", 300, 400, 60, 0.9)])
    track = begin(state, one, 0, T0)
    add_read(state, track, one, 0, "PYM3981", T0)
    offers = [motion.Offer(x, 400, 58, 14, text, 0.0) for x, text in ((320.0, "16H01"), (304.0, "QX7"))]
    assert motion.by_place([track], offers, [-1, -1], T0 + 200) == {1: 0}
    assert motion.by_place([track], offers, [0, -1], T0 + 200) == {}
