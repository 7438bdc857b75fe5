"""A camera's state as bytes: what is written is what is known, also of tracks that were written before."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st
from scenes import T0, Car, Road

from streams.track import CameraState, encode_state, new_state
from streams.tracker import step

PLATES = ("AAA111", "BCD234", "XYZ987", "KLM555")


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(PLATES), st.integers(0, 12)), max_size=5), st.randoms(use_true_random=False))
def test_what_is_written_is_what_is_known_however_often(drawn: list[tuple[str, int]], rng: random.Random) -> None:
    cars = [Car(plate, start, start + 3, lane=150 + 200 * i) for i, (plate, start) in enumerate(drawn)]
    frames = Road("cam", cars, 24).frames()
    for _ in range(10):
        # late frames come back to tracks that are closed
        frames.insert(rng.randrange(len(frames)), frames.pop(rng.randrange(len(frames))))
    state = new_state("cam")
    for offset, message in enumerate(frames):
        state, _ = step(state, message, offset, T0)
        # a state that does not remember what was written last
        assert encode_state(state) == encode_state(CameraState(state.hot))
