"""How a plate's text and a hotlist entry are alike: by count of characters, and by probability.

In: texts, the sighting's candidates. Out: whether the rules of a list let them meet, and how probable it is that the
plate says what the entry says.
"""

from collections.abc import Mapping

from streams.text import LOOKALIKE_COST, LOOKALIKES, NEAR_COST, align, substitution
from streams.vote import MAX_CANDIDATES

_LOOKALIKE_SHARE = 0.25
_NEAR_SHARE = 0.1
_OTHER_SHARE = 0.01
"""Of the wrong readings of a character, how many are this look-alike, this less alike one, this other one."""
_GAP_SHARE = 0.05
"""... and how often a character is missing or one too many."""


def _skeletons() -> dict[int, str]:
    """Every character that is somebody's look-alike -> one of its family."""
    family = {c: c for group in LOOKALIKES for c in group}
    for group in LOOKALIKES:
        heads = {family[c] for c in group}
        head = min(heads)
        family.update({c: head for c, old in family.items() if old in heads})
    return {ord(c): head for c, head in family.items()}


_SKELETON = _skeletons()


def skeleton(text: str) -> str:
    """`text` with the characters of each look-alike family folded into one: equal for look-alikes, and for more."""
    return text.translate(_SKELETON)


def equivalent(a: str, b: str) -> bool:
    """True when readers take one character for the other."""
    return 0.0 < substitution(a, b) <= LOOKALIKE_COST


def within(entry: str, text: str, equivalents: int, differences: int) -> bool:
    """True when at most so many look-alikes and so many other edits (a character changed, missing, too many) turn
    one text into the other."""
    shorter = min(len(entry), len(text))
    if abs(len(entry) - len(text)) > differences:
        return False
    begin = 0
    while begin < shorter and entry[begin] == text[begin]:
        begin += 1
    end = 0
    while end < shorter - begin and entry[-1 - end] == text[-1 - end]:
        end += 1
    entry, text = entry[begin : len(entry) - end], text[begin : len(text) - end]
    if max(len(entry), len(text)) <= differences:
        return True
    if not entry or not text:
        return False
    if equivalents and equivalent(entry[0], text[0]) and within(entry[1:], text[1:], equivalents - 1, differences):
        return True
    return differences > 0 and (
        # the first characters are unequal here
        within(entry[1:], text[1:], equivalents, differences - 1)
        or within(entry[1:], text, equivalents, differences - 1)
        or within(entry, text[1:], equivalents, differences - 1)
    )


def chance(entry: str, plate: str, texts: Mapping[str, float]) -> float:
    """Probability that the plate says `entry`, 0..1.

    A candidate's is its own. For any other text it is the part that the candidates leave (no more than the least of a
    full list of candidates has), times how likely just these characters are the misread ones: positions where the
    candidates disagree are doubted more, and look-alikes are taken for each other more often.

    Args:
        entry: a plate, no pattern.
        plate: the likeliest text.
        texts: candidate -> probability, with `plate` among them.
    """
    if entry in texts:
        return texts[entry]
    told = sum(texts.values())
    left = max(0.0, 1.0 - told)
    if len(texts) >= MAX_CANDIDATES:
        left = min(left, min(texts.values()))
    doubts = [left / len(plate)] * len(plate)
    for text, p in texts.items():
        if len(text) == len(plate):
            for i, (a, b) in enumerate(zip(plate, text, strict=True)):
                doubts[i] += p * (a != b)
    whole = sum(doubts) or 1.0
    places = align(entry, plate)
    p = left
    for symbol, place in zip(entry, places, strict=True):
        if place < 0:
            p *= _GAP_SHARE
        elif symbol != plate[place]:
            p *= doubts[place] / whole * _share(plate[place], symbol)
    for place in set(range(len(plate))).difference(places):
        p *= doubts[place] / whole * _GAP_SHARE
    return p


def _share(read: str, true: str) -> float:
    cost = substitution(read, true)
    if cost <= LOOKALIKE_COST:
        return _LOOKALIKE_SHARE
    return _NEAR_SHARE if cost <= NEAR_COST else _OTHER_SHARE
