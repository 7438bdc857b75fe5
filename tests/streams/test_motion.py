"""The choice of tracks: what is passed over for speed must never have been the cheapest."""

import random

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
