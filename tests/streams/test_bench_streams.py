"""The streams' benchmark: what it prints, of any number of messages."""

import pytest

from bench import streams as bench


@pytest.mark.parametrize(("count", "cameras"), [(1, 1), (4, 2), (60, 2)])
def test_a_handful_of_messages_has_figures_too(count: int, cameras: int) -> None:
    result = bench.pure(bench.messages(count, cameras))
    assert result["reads_per_s"] > 0
    assert result["functions_alone_reads_per_s"] > 0
    assert ("vote_alone_reads_per_s" in result) == (result["sightings_told"] > 0)
