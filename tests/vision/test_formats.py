"""Formats as a prior: what the layouts' patterns allow, and how the region's odds weigh a text."""

import numpy as np
import pytest

from vision.formats import UNUSUAL, format_of, format_prior, formats_of

REGIONS = ("BR", "SK", "US-NJ", "US-CA")


def test_formats_of_texts_and_patterns() -> None:
    assert format_of("AZ09KO") == "AA99AA"
    assert formats_of("{B|KI}~AA 99") == {"AAA99", "AAAA99"}
    assert formats_of("{A|1} 99/{X|YY}") == {"A99A", "A99AA", "999A", "999AA"}
    assert formats_of("VANITY") == frozenset()
    assert formats_of("A0-9") == {"A99"}


def test_the_region_decides_how_usual_a_text_is() -> None:
    weigh = format_prior(REGIONS, np.array([0.9, 0.1, 0.0, 0.0]))
    assert weigh("ABC1234") == pytest.approx(UNUSUAL + (1 - UNUSUAL) * 0.9)
    assert weigh("AB123CD") == pytest.approx(UNUSUAL + (1 - UNUSUAL) * 0.1)
    assert weigh("0BC1234") == pytest.approx(UNUSUAL)
    assert weigh("") == weigh("A" * 12) == pytest.approx(UNUSUAL)


def test_states_of_one_country_share_their_formats() -> None:
    """A wrong state is a common slip and must not cost a text."""
    jersey, california = np.eye(4)[2], np.eye(4)[3]
    for text in ("1ABC234", "A12BCD", "ABC1234"):
        assert format_prior(REGIONS, jersey)(text) == format_prior(REGIONS, california)(text) == 1.0
