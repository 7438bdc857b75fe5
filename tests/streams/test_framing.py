"""What makes reads fit for tracking: distances over ground."""

from hypothesis import given
from hypothesis import strategies as st

from streams.framing import metres, within_metres

steps = st.floats(-0.006, 0.006)


@given(st.floats(-89, 89), st.floats(-179, 179), steps, steps)
def test_the_cheap_look_at_a_distance_says_what_the_exact_one_does(
    lat: float, lon: float, up: float, on: float
) -> None:
    here, there = (lat, lon), (lat + up, lon + on)
    assert within_metres(here, there, 400.0) == (metres(here, there) <= 400.0)


def test_a_step_over_the_date_line_is_short() -> None:
    assert within_metres((0.0, 179.9999), (0.0, -179.9999), 400.0)
