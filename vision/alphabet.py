"""CTC logits in, texts out: the symbols, the beam search over whole texts, and probabilities per character. Pure.

The network says for each of T steps how likely each of 37 classes is: class 0 is the blank, the rest are `SYMBOLS`.
A text's probability is the sum over all ways to spell it with blanks and repeats; the beam keeps the likeliest
beginnings. A temperature above 1 makes all probabilities humbler; it is fitted on validation plates.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SYMBOLS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
"""Symbol k is class k + 1."""
BLANK = 0
TEMPERATURE = 1.0
CANDIDATES = 5
"""Texts that a read lists."""
_BEAM = 8
"""Beginnings that the search goes on with."""
_AGREEMENT = 1.4
_INDEX = {symbol: k + 1 for k, symbol in enumerate(SYMBOLS)}

Probabilities = NDArray[np.float64]
"""T x 37, each row sums to 1."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """What the logits of one plate say."""

    text: str
    confidence: float
    candidates: tuple[tuple[str, float], ...]
    """Texts and their probabilities, best first; the first is `text`."""
    char_probs: tuple[tuple[tuple[str, float], ...], ...]
    """Per character of `text` the likeliest symbols, best first; the empty symbol means "no character here"."""


def encode(text: str) -> list[int]:
    """Class numbers of a text. Raises ValueError for a sign that is not A-Z or 0-9."""
    try:
        return [_INDEX[sign] for sign in text]
    except KeyError as error:
        raise ValueError(f"{text!r} holds {error.args[0]!r}; plates are A-Z and 0-9") from None


def softmax(logits: NDArray[np.floating], temperature: float = 1.0) -> Probabilities:
    """Along the last axis, in double precision."""
    scaled = np.asarray(logits, np.float64) / temperature
    powers = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True), np.float64)


def greedy(logits: NDArray[np.floating]) -> str:
    """The text of the likeliest class at each step: quick, used to watch training."""
    best = np.asarray(logits).argmax(axis=-1)
    keep = (best != BLANK) & (best != np.concatenate([[BLANK], best[:-1]]))
    return "".join(SYMBOLS[k - 1] for k in best[keep])


def beam_search(probs: Probabilities, width: int = _BEAM, prune: float = 1e-3) -> list[tuple[str, float]]:
    """The likeliest texts and their probabilities, best first.

    `prune` leaves out symbols below that probability at a step, and beginnings that are `prune` squared times as likely
    as the best one; with 0 and a wide enough beam the result is exact.
    """
    # text -> probability of ending in a blank, of ending in its last symbol
    beams: dict[str, tuple[float, float]] = {"": (1.0, 0.0)}
    busy = np.flatnonzero(probs[:, BLANK] <= 1.0 - prune)
    # the steps without a sign multiply every beginning by the same number, and end a sign
    silence = float(np.prod(probs[probs[:, BLANK] > 1.0 - prune, BLANK]))
    before = -1
    for step, row in zip(busy.tolist(), probs[busy].tolist(), strict=True):
        if step > before + 1:
            beams = {text: (ends_b + ends_s, 0.0) for text, (ends_b, ends_s) in beams.items()}
        before = step
        beams = _step(beams, row, width, prune)
    ranked = sorted(((text, (b + s) * silence) for text, (b, s) in beams.items()), key=lambda item: (-item[1], item[0]))
    return [(text, p) for text, p in ranked if p > 0]


def _step(
    beams: Mapping[str, tuple[float, float]], row: Sequence[float], width: int, prune: float
) -> dict[str, tuple[float, float]]:
    """The `width` likeliest beginnings after one more step, without those far less likely than the best one."""
    likely = sorted(((p, symbol) for symbol, p in zip(SYMBOLS, row[1:], strict=True) if p > prune), reverse=True)
    # beginnings that stay, and those that grow into one that is there already
    found = {text: _stayed(text, beams, row, prune) for text in beams}
    sums = sorted((b + s for b, s in found.values()), reverse=True)
    # what is less likely than this would not be kept: neither beside the best nor among so many
    least = max(sums[0] * prune * prune, sums[width - 1] if len(sums) >= width else 0.0)
    for text, (ends_b, ends_s) in beams.items():
        last, both = text[-1:], ends_b + ends_s
        for p, symbol in likely:
            if both * p < least:
                break
            # the same symbol again is a new character only after a blank
            if text + symbol not in beams:
                found[text + symbol] = (0.0, (ends_b if symbol == last else both) * p)
    if len(found) == 1:
        return found
    least = prune * prune * max(b + s for b, s in found.values())
    kept = [item for item in found.items() if item[1][0] + item[1][1] >= least]
    if len(kept) > width:
        kept = sorted(kept, key=lambda item: -(item[1][0] + item[1][1]))[:width]
    return dict(kept)


def _stayed(
    text: str, beams: Mapping[str, tuple[float, float]], row: Sequence[float], prune: float
) -> tuple[float, float]:
    """Probability of a beginning that ends in a blank, or in its last symbol, after one more step."""
    ends_b, ends_s = beams[text]
    if not text:
        return (ends_b + ends_s) * row[BLANK], 0.0
    p = row[_INDEX[text[-1]]]
    stay = ends_s * p
    shorter = beams.get(text[:-1])
    if shorter is not None and p > prune:
        stay += (shorter[0] if text[-2:-1] == text[-1] else shorter[0] + shorter[1]) * p
    return (ends_b + ends_s) * row[BLANK], stay


def align(probs: Probabilities, text: str) -> list[tuple[int, int]]:
    """For each character of `text` the first step and one past the last of the likeliest way to spell it.

    Raises ValueError when the text is too long to be spelled in so many steps.
    """
    states = [BLANK]
    for k in encode(text):
        states += [k, BLANK]
    steps, count = len(probs), len(states)
    if not steps:
        raise ValueError(f"{text!r} cannot be spelled in no steps")
    scores = np.log(np.maximum(probs[:, states], 1e-300))
    may_skip = np.array([i >= 2 and states[i] != BLANK and states[i] != states[i - 2] for i in range(count)])
    best = np.full(count, -np.inf)
    best[:2] = scores[0, :2]
    came = np.zeros((steps, count), np.int64)
    reach = np.full((3, count), -np.inf)
    for t in range(1, steps):
        reach[0] = best
        reach[1, 1:] = best[:-1]
        reach[2, 2:] = np.where(may_skip[2:], best[:-2], -np.inf)
        came[t] = reach.argmax(axis=0)
        best = reach.max(axis=0) + scores[t]
    state = count - 1 if count == 1 or best[-1] >= best[-2] else count - 2
    if not np.isfinite(best[state]):
        raise ValueError(f"{text!r} cannot be spelled in {steps} steps")
    runs = [[steps, 0] for _ in text]
    for t in range(steps - 1, -1, -1):
        if state % 2:
            run = runs[state // 2]
            run[0], run[1] = min(run[0], t), max(run[1], t + 1)
        state -= int(came[t, state])
    return [(first, end) for first, end in runs]


def without_silence(probs: Probabilities, silent: float = 0.999) -> Probabilities:
    """The steps without those that are surely blank, but for one after each run of busy ones."""
    busy = probs[:, BLANK] < silent
    after = np.concatenate([[False], busy[:-1]])
    return np.asarray(probs[busy | after], np.float64)


def character_probabilities(
    probs: Probabilities, text: str, top: int = 4, floor: float = 0.002
) -> tuple[tuple[tuple[str, float], ...], ...]:
    """Per character of `text` the likeliest symbols where it was seen, best first.

    A character's steps are those of `align`. Each step votes with its own probability of not being blank; the empty
    symbol gets what remains at the step that is surest of a character.
    """
    busy = without_silence(probs)
    steps = busy
    runs = _runs_of_classes(busy)
    if "".join(SYMBOLS[kind - 1] for kind, _, _ in runs) == text:
        # the likeliest class of each step spells the text: no other way to spell it is likelier
        spans = [(first, end) for _, first, end in runs]
    else:
        try:
            spans = align(busy, text)
        except ValueError:  # a text that needs a step in which nothing was seen
            spans, steps = align(probs, text), probs
    return tuple(_votes(steps[first:end], sign, top, floor) for sign, (first, end) in zip(text, spans, strict=True))


def _runs_of_classes(probs: Probabilities) -> list[tuple[int, int, int]]:
    """The likeliest class of each step, as runs of equals: class, first step, one past the last; without blanks."""
    best = probs.argmax(axis=1)
    edges = [0, *(np.flatnonzero(best[1:] != best[:-1]) + 1).tolist(), len(best)]
    return [(int(best[a]), a, b) for a, b in itertools.pairwise(edges) if a < b and best[a] != BLANK]


def _votes(rows: Probabilities, sign: str, top: int, floor: float) -> tuple[tuple[str, float], ...]:
    """The likeliest symbols of one character's steps, best first, `sign` among them."""
    seen = 1.0 - rows[:, BLANK]
    peak = float(seen.max())
    symbols = rows[:, 1:].sum(axis=0)
    symbols = symbols / max(float(symbols.sum()), 1e-12) * peak
    ranked = [(SYMBOLS[k], float(symbols[k])) for k in np.argsort(-symbols)[:top] if symbols[k] >= floor]
    if 1.0 - peak >= floor:
        ranked.append(("", 1.0 - peak))
    if sign not in {other for other, _ in ranked}:
        ranked.append((sign, float(symbols[SYMBOLS.index(sign)])))
    return tuple(sorted(ranked, key=lambda item: -item[1]))


def decode(
    logits: NDArray[np.floating],
    *,
    temperature: float = TEMPERATURE,
    candidates: int = CANDIDATES,
    weigh: Callable[[str], float] | None = None,
) -> Decoded:
    """Logits of one plate, T x 37, to its text, candidates and character probabilities.

    Logits of several views of the plate, V x T x 37, are read together: a text has its mean probability over the views.
    `confidence` and the candidates' figures are probabilities of the whole text at the given temperature; what they
    lack to 1 belongs to texts that are not listed. `weigh` says how likely a text is before anything is seen, relative
    to others (see `vision.formats`); all texts stay candidates. An empty text means that nothing was seen.
    """
    views = [softmax(view, temperature) for view in (logits if logits.ndim == 3 else logits[None])]
    width = max(_BEAM, candidates + 3)
    found = [dict(beam_search(probs, width)) for probs in views]
    texts = list(found[0].items()) if len(found) == 1 else _mean(found)
    if weigh is not None and len(texts) > 1:
        texts = _weighed(texts, weigh)
    texts = texts[:candidates]
    if not texts:
        return Decoded("", 0.0, (), ())
    text = texts[0][0]
    listed = tuple((t, min(1.0, p)) for t, p in texts)
    clearest = max(range(len(views)), key=lambda k: found[k].get(text, 0.0))
    return Decoded(text, listed[0][1], listed, character_probabilities(views[clearest], text) if text else ())


def _mean(found: Sequence[dict[str, float]]) -> list[tuple[str, float]]:
    """Every text's probability given all views, best first.

    The plain mean proved too humble on validation plates: views that agree are worth more than one, and what is spread
    over texts that no view listed is nobody's. So the sums are raised to `_AGREEMENT` and made to add up to 1.
    """
    total: dict[str, float] = {}
    for view in found:
        for text, p in view.items():
            total[text] = total.get(text, 0.0) + p
    every = max(sum(p**_AGREEMENT for p in total.values()), 1e-300)
    ranked = ((text, p**_AGREEMENT / every) for text, p in total.items())
    return sorted(ranked, key=lambda item: (-item[1], item[0]))


def _weighed(texts: list[tuple[str, float]], weigh: Callable[[str], float]) -> list[tuple[str, float]]:
    """Texts by probability times weight; together they keep the probability that they had."""
    weights = [(text, p * weigh(text)) for text, p in texts]
    scale = sum(p for _, p in texts) / max(sum(p for _, p in weights), 1e-300)
    return sorted(((text, p * scale) for text, p in weights), key=lambda item: (-item[1], item[0]))
