"""Many reads of one plate -> one text: characters are aligned and vote with their probabilities, weighted.

In: ballots (reads with what says how good they are). Out: text, confidence, ranked candidates, votes, region.
The result depends on the set of ballots alone, never on their order.
"""

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

import msgspec

from schemas.read import Candidate
from streams.text import align, fragment

CharProbs = tuple[tuple[tuple[str, float], ...], ...]

FULL_HEIGHT_PX = 22.0
"""From this height on a plate does not become easier to read."""
MAX_CANDIDATES = 5
_ALTERNATIVES = 3
_MIN_SHARE = 1e-3
_NEGLIGIBLE = 0.1 * _MIN_SHARE
_PRIOR = 1.5
_BLENDED = 0.5
"""How likely a text that no read says is, against one that a read says and whose characters are as likely."""
_WHOLE = 0.3
"""A read this sure shows that others, which lack two characters or more at an end, saw the plate half hidden."""
_WHOLES = 2
"""So many that agree show it of those that lack one character: a single one may as well have read one too many."""


class Ballot(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One read that votes."""

    text: str
    confidence: float
    height: float
    """Of the box, pixels."""
    sharpness: float
    legibility: float
    probs: CharProbs
    region: str
    region_confidence: float


class Vote(msgspec.Struct, frozen=True):
    """What the ballots say together."""

    plate: str
    confidence: float
    candidates: tuple[Candidate, ...]
    region: str
    region_confidence: float


def quality(height: float, sharpness: float, legibility: float) -> float:
    """How good a look at a plate is, on its own: above 0, comparable within one camera."""
    return max(height, 1.0) * (0.3 + 0.7 * legibility) * math.log2(2.0 + max(sharpness, 0.0))


def weights(ballots: Sequence[Ballot]) -> list[float]:
    """Weight of each ballot, 0..1: large, sharp (against the sharpest of them), legible and sure reads count more."""
    sharpest = max([b.sharpness for b in ballots], default=0.0)
    out = []
    for b in ballots:
        size = 0.25 + 0.75 * (b.height / FULL_HEIGHT_PX if b.height < FULL_HEIGHT_PX else 1.0)
        sharp = 1.0
        if sharpest > 0:
            sharp = 0.2 + 0.8 * math.sqrt((b.sharpness if b.sharpness > 0.0 else 0.0) / sharpest)
        out.append(size * sharp * (0.3 + 0.7 * b.legibility) * (0.2 + 0.8 * b.confidence))
    return out


def _whole(ballots: Sequence[Ballot]) -> list[Ballot]:
    """The ballots without those that saw a piece of what another one saw whole."""
    lengths = [len(b.text) for b in ballots]
    if max(lengths) == min(lengths):
        return list(ballots)
    whole = Counter(b.text for b in ballots if b.confidence >= _WHOLE)
    return [b for b in ballots if not any(_piece(b.text, text, times) for text, times in whole.items())]


def _piece(text: str, whole: str, times: int) -> bool:
    """True when `text` is what a half hidden `whole`, read so many times, leaves to be read."""
    lacks = len(whole) - len(text)
    if lacks == 1:
        return times >= _WHOLES and (whole.startswith(text) or whole.endswith(text))
    return lacks > 1 and fragment(text, whole)


def _characters(ballot: Ballot) -> CharProbs:
    if len(ballot.probs) == len(ballot.text):
        return ballot.probs
    # the reader told no characters: spread what it told of the whole evenly
    each = max(ballot.confidence, 1e-6) ** (1.0 / len(ballot.text))
    return tuple(((c, each),) for c in ballot.text)


def _reference(ballots: Sequence[Ballot], weight: Sequence[float]) -> str:
    """The text that the others are aligned with: of the length most agree on, the one with most weight."""
    if all(ballot.text == ballots[0].text for ballot in ballots):
        return ballots[0].text
    by_length: dict[int, float] = {}
    by_text: dict[str, float] = {}
    for ballot, w in zip(ballots, weight, strict=True):
        by_length[len(ballot.text)] = by_length.get(len(ballot.text), 0.0) + w
        by_text[ballot.text] = by_text.get(ballot.text, 0.0) + w
    length = max(by_length, key=lambda n: (by_length[n], n))
    return max((t for t in by_text if len(t) == length), key=lambda t: (by_text[t], t))


def _pool(ballots: Sequence[Ballot], weight: Sequence[float], reference: str) -> Sequence[Mapping[str, float]]:
    """Per position of `reference` the share of each symbol, summing to at most 1; "" is "no character here"."""
    total = sum(weight)
    shares = [w / total for w in weight]
    pools = []
    for answers in zip(*[_answers(ballot, reference) for ballot in ballots], strict=True):
        pool: dict[str, float] = {}
        get = pool.get
        for share, chances in zip(shares, answers, strict=True):
            for symbol, p in chances:
                pool[symbol] = get(symbol, 0.0) + share * p
        pools.append(pool)
    return pools


def _answers(ballot: Ballot, reference: str) -> CharProbs:
    """What the ballot says of each position of `reference`."""
    characters = _characters(ballot)
    if ballot.text == reference:
        return characters
    places = align(ballot.text, reference)
    if len(places) == len(reference) and -1 not in places:
        return characters
    answers: list[tuple[tuple[str, float], ...]] = [(("", ballot.confidence),)] * len(reference)
    for chances, place in zip(characters, places, strict=True):
        if place >= 0:
            answers[place] = chances
    return tuple(answers)


def _sharpen(pool: Mapping[str, float], power: float) -> list[tuple[float, str]]:
    """The likeliest symbols, best first, after `power` independent looks; what is not told counts as others."""
    known = total = 0.0
    raised = []
    for symbol, p in pool.items():
        known += p
        sharp = (p if p > 1e-6 else 1e-6) ** power
        total += sharp
        raised.append((sharp, symbol))
    if known < 1.0:
        total += (1.0 - known) ** power
    raised.sort(reverse=True)
    return [(p / total, symbol) for p, symbol in raised[:_ALTERNATIVES]]


def _ranked(positions: Sequence[Sequence[tuple[float, str]]]) -> list[tuple[str, float]]:
    """Texts of the likeliest symbols, best first (beam over the positions)."""
    beam = [(1.0, "")]
    for options in positions:
        longer: dict[str, float] = {}
        for p, text in beam:
            for q, symbol in options:
                joint = p * q
                if joint < _NEGLIGIBLE:
                    # options come best first
                    break
                said = text + symbol
                longer[said] = longer[said] + joint if said in longer else joint
        if not longer:
            (p, best), (q, symbol) = beam[0], options[0]
            longer = {best + symbol: p * q}
        beam = sorted(zip(longer.values(), longer, strict=True), reverse=True)[: 2 * MAX_CANDIDATES]
    return [(text, p) for p, text in beam]


def _agreement(ballots: Sequence[Ballot], weight: Sequence[float], plate: str) -> float:
    """Least confidence that reads which agree to the letter deserve, however unsure each of them was.

    Two reads do not make the same mistake by chance; that they make it for the same cause stays possible.
    """
    agreeing = [w for ballot, w in zip(ballots, weight, strict=True) if ballot.text == plate]
    if len(agreeing) < 2:
        return 0.0
    return len(agreeing) / (len(agreeing) + _PRIOR) * sum(agreeing) / sum(weight)


def _otherwise(ballots: Sequence[Ballot], weight: Sequence[float], length: int, plate: str) -> dict[str, float]:
    """What but `plate` was read with another number of characters than the positions have: texts and their shares."""
    said: dict[str, float] = {}
    total = sum(weight)
    for ballot, w in zip(ballots, weight, strict=True):
        if len(ballot.text) != length and ballot.text != plate:
            said[ballot.text] = said.get(ballot.text, 0.0) + w / total * ballot.confidence
    return said


def _others(
    ranked: Sequence[tuple[str, float]], first: float, said: Mapping[str, float]
) -> Sequence[tuple[str, float]]:
    """The candidates after the first, whose probability is `first`, with what was `said` otherwise among them."""
    if not said:
        return ranked
    shares = dict(ranked)
    for text, p in said.items():
        shares[text] = min(first, max(p, shares.get(text, 0.0)))
    room = min(1.0, (1.0 - first) / max(1e-9, sum(shares.values())))
    return sorted(((text, p * room) for text, p in shares.items()), key=lambda item: (-item[1], item[0]))


def _read_first(ranked: Sequence[tuple[str, float]], read: Collection[str]) -> list[tuple[str, float]]:
    """The texts with what was `read` favoured over what only the characters of several reads make up."""
    weighed = [(text, p if text in read else _BLENDED * p) for text, p in ranked]
    scale = sum(p for _, p in ranked) / max(1e-9, sum(p for _, p in weighed))
    return sorted(((text, p * scale) for text, p in weighed), key=lambda item: (-item[1], item[0]))


def _region(ballots: Sequence[Ballot], weight: Sequence[float]) -> tuple[str, float]:
    shares: dict[str, float] = {}
    for ballot, w in zip(ballots, weight, strict=True):
        if ballot.region:
            shares[ballot.region] = shares.get(ballot.region, 0.0) + w * ballot.region_confidence
    if not shares:
        return "", 0.0
    region = max(shares, key=lambda r: (shares[r], r))
    voters = sum(w for ballot, w in zip(ballots, weight, strict=True) if ballot.region)
    return region, min(1.0, shares[region] / voters)


def vote(ballots: Sequence[Ballot]) -> Vote:
    """The one text of all `ballots` (at least one, none with an empty text).

    Shares are averaged, not multiplied: one read that is sure and wrong cannot outvote three that agree.
    Reads of one pass are alike in their faults, so that each further one counts for less than a new look would.
    """
    ordered = sorted(_whole(ballots), key=lambda b: (b.text, b.confidence, b.height, b.sharpness, b.probs))
    weight = weights(ordered)
    reference = _reference(ordered, weight)
    pools = _pool(ordered, weight, reference)
    looks = sum(weight) ** 2 / sum(w * w for w in weight)
    power = 1.0 + 0.5 * math.log(looks)
    ranked = _ranked([_sharpen(pool, power) for pool in pools])
    ranked = [(text, p) for text, p in ranked if text] or [(reference, 0.0)]
    ranked = _read_first(ranked, {ballot.text for ballot in ordered})
    region, region_confidence = _region(ordered, weight)
    plate, confidence = ranked[0]
    floor = _agreement(ordered, weight, plate)
    if floor > confidence:
        # what the agreeing reads take, the others lose
        rest = (1.0 - floor) / max(1e-9, 1.0 - confidence)
        ranked = [(plate, floor), *((text, p * rest) for text, p in ranked[1:])]
    plate, confidence = ranked[0][0], min(1.0, ranked[0][1])
    ranked = [(plate, confidence), *_others(ranked[1:], confidence, _otherwise(ordered, weight, len(reference), plate))]
    candidates = tuple(Candidate(text, p) for text, p in ranked[:MAX_CANDIDATES] if p >= _MIN_SHARE)
    if not candidates:
        candidates = (Candidate(plate, confidence),)
    return Vote(plate, confidence, candidates, region, region_confidence)
