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


def test_a_state_has_formats_of_its_own_and_a_doubtful_one_costs_a_text_little() -> None:
    jersey, california = np.eye(4)[2], np.eye(4)[3]
    assert format_prior(REGIONS, jersey)("A12BCD") == format_prior(REGIONS, california)("1ABC234") == 1.0
    # an O that California cannot have there
    assert format_prior(REGIONS, california)("OABC234") == pytest.approx(UNUSUAL)
    for text in ("A12BCD", "1ABC234"):
        assert format_prior(REGIONS, (jersey + california) / 2)(text) > 5 * UNUSUAL
