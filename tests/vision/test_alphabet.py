"""CTC decoding against counting every path, and what the probabilities promise."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vision.alphabet import (
    BLANK,
    SYMBOLS,
    _runs_of_classes,
    align,
    beam_search,
    character_probabilities,
    decode,
    encode,
    greedy,
    softmax,
    without_silence,
)

FEW = 3
"""Symbols that the small cases use: A, B, C."""


def _small(seed: int, steps: int) -> np.ndarray:
    logits = np.random.default_rng(seed).normal(0, 1.5, (steps, 1 + len(SYMBOLS)))
    logits[:, 1 + FEW :] = -60
    return logits


def _every_path(probs: np.ndarray) -> dict[str, float]:
    texts: dict[str, float] = {}
    for path in itertools.product(range(1 + FEW), repeat=len(probs)):
        text, last = "", BLANK
        for k in path:
            if k not in (BLANK, last):
                text += SYMBOLS[k - 1]
            last = k
        texts[text] = texts.get(text, 0.0) + float(np.prod(probs[np.arange(len(path)), path]))
    return texts


@settings(max_examples=12)
@given(seed=st.integers(0, 10_000), steps=st.integers(1, 5))
def test_a_wide_beam_is_exact(seed: int, steps: int) -> None:
    probs = softmax(_small(seed, steps))
    truth = _every_path(probs)
    found = dict(beam_search(probs, width=100_000, prune=1e-12))
    for text, p in truth.items():
        assert found[text] == pytest.approx(p, abs=1e-9)
    assert max(found, key=found.__getitem__) == max(truth, key=truth.__getitem__)


def test_a_beam_far_narrower_than_all_texts_finds_the_best() -> None:
    for seed in range(20):
        probs = softmax(_small(seed, 6))
        truth = _every_path(probs)
        best = max(truth, key=truth.__getitem__)
        text, p = beam_search(probs, width=40)[0]
        assert text == best
        assert 0.9 * truth[best] < p <= truth[best] + 1e-9


def _plain_search(probs: np.ndarray, prune: float = 1e-3) -> list[tuple[str, float]]:
    """Prefix search as in the books, step by step; only symbols below `prune` are left out."""
    beams = {"": (1.0, 0.0)}
    for row in probs:
        grown: dict[str, tuple[float, float]] = {}
        for text, (ends_b, ends_s) in beams.items():
            b, s = grown.get(text, (0.0, 0.0))
            stay = ends_s * row[encode(text[-1])[0]] if text else 0.0
            grown[text] = (b + (ends_b + ends_s) * row[BLANK], s + stay)
            for k in np.flatnonzero(row > prune):
                if k != BLANK:
                    longer = text + SYMBOLS[k - 1]
                    b, s = grown.get(longer, (0.0, 0.0))
                    repeated = text[-1:] == SYMBOLS[k - 1]
                    grown[longer] = (b, s + (ends_b if repeated else ends_b + ends_s) * row[k])
        beams = dict(sorted(grown.items(), key=lambda item: -sum(item[1]))[:60])
    return sorted(((text, b + s) for text, (b, s) in beams.items()), key=lambda item: -item[1])


def _plate_logits(seed: int) -> np.ndarray:
    """72 steps as the reader gives them: long silence, peaks of one or two steps, some of them doubtful."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 0.7, (72, 37))
    logits[:, BLANK] += rng.uniform(7, 11)
    step = int(rng.integers(2, 40))
    for _ in range(int(rng.integers(4, 9))):
        for k in range(int(rng.integers(1, 3))):
            sure = rng.uniform(5, 16)
            logits[step + k, BLANK] = rng.uniform(0, 9)
            logits[step + k, 1 + int(rng.integers(36))] = sure
            logits[step + k, 1 + int(rng.integers(36))] = sure - rng.uniform(0, 8)
        step += int(rng.integers(2, 4))
    return logits


def test_the_quick_search_says_what_the_plain_one_says() -> None:
    for seed in range(15):
        probs = softmax(_plate_logits(seed))
        plain, quick = _plain_search(probs), beam_search(probs, width=60)
        assert quick[0][0] == plain[0][0]
        for text, p in plain[:5]:
            assert dict(quick)[text] == pytest.approx(p, abs=5e-5)


def test_the_characters_of_the_likeliest_path_need_no_alignment() -> None:
    compared = 0
    for seed in range(40):
        probs = softmax(_plate_logits(seed))
        text = greedy(np.log(probs))
        runs = [(int(first), int(end)) for _, first, end in _runs_of_classes(probs)]
        if text:
            assert runs == align(probs, text)
            compared += 1
    assert compared > 30


def test_a_prior_turns_doubt_and_hides_nothing() -> None:
    logits = _spell("-A-B-8-")
    logits[5, encode("B")[0]] = logits[5, encode("8")[0]] - 0.5
    plain = decode(logits)
    found = decode(logits, weigh=lambda text: 1.0 if text == "ABB" else 0.1)
    assert (plain.text, found.text) == ("AB8", "ABB")
    assert {text for text, _ in found.candidates} == {text for text, _ in plain.candidates}
    assert sum(p for _, p in found.candidates) == pytest.approx(sum(p for _, p in plain.candidates), abs=1e-4)
    assert [chars[0][0] for chars in found.char_probs][:2] == ["A", "B"]
    sure = _spell("-A-B-8-")
    assert decode(sure, weigh=lambda text: 1.0 if text == "ABB" else 0.1).text == "AB8"


def _spell(path: str, sure: float = 12.0) -> np.ndarray:
    """Logits that spell a path such as `A-AB`, `-` for the blank."""
    logits = np.zeros((len(path), 1 + len(SYMBOLS)))
    for step, sign in enumerate(path):
        logits[step, 0 if sign == "-" else encode(sign)[0]] = sure
    return logits


def test_repeats_need_a_blank_between() -> None:
    assert greedy(_spell("AA-A-BB")) == "AAB"
    assert decode(_spell("AA-A-BB")).text == "AAB"
    assert decode(_spell("AAAABBBB")).text == "AB"
    assert decode(_spell("-----")).text == ""


def test_a_sure_plate() -> None:
    found = decode(_spell("--K-K1-2-Z--9"))
    assert found.text == "KK12Z9"
    assert found.confidence > 0.99
    assert found.candidates[0] == (found.text, found.confidence)
    assert [chars[0][0] for chars in found.char_probs] == list(found.text)


def test_a_doubtful_character_shows_both_readings() -> None:
    logits = _spell("-A-B-8-")
    logits[5, encode("B")[0]] = logits[5, encode("8")[0]] - 0.5
    found = decode(logits)
    assert {text for text, _ in found.candidates[:2]} == {"AB8", "ABB"}
    (first, p), (second, q) = found.char_probs[2][:2]
    assert (first, second) == ("8", "B")
    assert p + q == pytest.approx(1, abs=0.02)
    assert p > q


def test_a_character_that_may_not_be_there_has_the_empty_symbol() -> None:
    logits = _spell("-A-B--")
    logits[4, encode("C")[0]] = logits[4, BLANK] + 0.3
    found = decode(logits)
    assert found.text == "ABC"
    assert dict(found.char_probs[2])[""] == pytest.approx(1 / (1 + np.exp(0.3)), abs=0.01)


def test_candidates_are_sorted_and_never_sum_to_more_than_one() -> None:
    for seed in range(10):
        found = decode(np.random.default_rng(seed).normal(0, 3, (20, 37)))
        ps = [p for _, p in found.candidates]
        assert ps == sorted(ps, reverse=True)
        assert sum(ps) <= 1 + 1e-9
        assert len({text for text, _ in found.candidates}) == len(ps)


def test_temperature_makes_humbler_not_different() -> None:
    logits = _spell("-A-B-8-", sure=7)
    cool, warm = decode(logits, temperature=1.0), decode(logits, temperature=2.0)
    assert cool.text == warm.text
    assert cool.confidence > warm.confidence


def test_views_are_read_together() -> None:
    first, second = _spell("-A-B-8-"), _spell("-A-B-8-")
    first[5, encode("B")[0]] = first[5, encode("8")[0]] + 0.5
    found = decode(np.stack([first, second]))
    apart = [dict(decode(view).candidates) for view in (first, second)]
    assert decode(first).text == "ABB"
    assert found.text == "AB8"
    assert apart[0]["AB8"] < found.confidence < 1
    assert sum(p for _, p in found.candidates) == pytest.approx(1, abs=1e-3)
    assert dict(found.candidates)["ABB"] < dict(decode(first).candidates)["ABB"]
    assert found.char_probs[2][0][0] == "8"
    assert decode(first[None]) == decode(first)


def test_alignment() -> None:
    probs = softmax(_spell("--AA-B-"))
    assert align(probs, "AB") == [(2, 4), (5, 6)]
    with pytest.raises(ValueError, match="steps"):
        align(probs[:2], "ABC")
    assert character_probabilities(probs, "AB")[0][0][0] == "A"


def test_dropping_silence_keeps_texts_and_characters() -> None:
    logits = _spell("----A---A--B7----7", sure=14)
    probs = softmax(logits)
    quiet = without_silence(probs)
    assert len(quiet) < len(probs)
    assert beam_search(quiet)[0][0] == "AAB77"
    assert [chars[0][0] for chars in character_probabilities(probs, "AAB77")] == list("AAB77")
    assert len(character_probabilities(softmax(_spell("------")), "AB")) == 2


def test_signs_outside_the_alphabet_are_refused() -> None:
    with pytest.raises(ValueError, match="'-'"):
        encode("AB-1")
