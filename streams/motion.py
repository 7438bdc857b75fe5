"""Which read belongs to which track: predicted place, size and text make a cost, an exact assignment the choice.

In: tracks and the reads of one frame. Out: pairs. All lengths are measured in plate widths, so that far and near
plates are treated alike; the camera itself moves, so that the room for error grows with the time between looks.
"""

import math
from collections.abc import Sequence

import msgspec

from streams.text import LOOKALIKE_COST, distance, fragment
from streams.track import Seen, Track

MAX_COST = 6.0
"""Pairs that cost more are not joined."""
MAX_COST_UNREAD = 3.0
"""... where nothing was read: what says nothing must not take the place of what says the track's own text."""
_SAYS_NOTHING = 0.02
"""A text less likely than this does not tell one vehicle from another."""
_KNOWN = 0.4
"""A track that was read so surely once is known by its text, whatever is guessed of it from afar."""

_OUT_OF_REACH = math.sqrt(2 * MAX_COST) + 0.01
"""Standard deviations from where only the same text can still make a pair cheap enough."""
_SIGMA_0 = 0.8
_SIGMA_MOVING = 2.5
_SIGMA_NEW = 6.0
"""Plate widths of doubt at once, and per second with and without a known velocity."""
_BASE_MS = 120
_SAME_TEXT_BONUS = 2.5
_SAME_TEXT_MOTION = 5.0
_PER_DIFFERENCE = 1.0
_PER_SURE_DIFFERENCE = 2.5
_STRANGE = 2.5
_OTHER_VEHICLE = 2.4
"""From this text distance on, two sure texts are two vehicles, wherever they are."""
_LOOKALIKE = 0.35
_HIDDEN = 0.6
"""Text distance of a plate to a piece of itself."""
_LEAST_UNLIKE = LOOKALIKE_COST * _PER_DIFFERENCE
"""No pair whose texts are not the same costs less than this, whatever its place."""
_NO_TEXT = 1.0
_PER_SECOND = 0.8


class Place(msgspec.Struct, frozen=True, gc=False):
    """Centre and size of a plate in the picture, pixels, and how long since it was looked at, seconds."""

    x: float
    y: float
    w: float
    h: float
    dt: float
    moving: bool


class Offer(msgspec.Struct, frozen=True, gc=False):
    """A read as the assignment sees it."""

    x: float
    y: float
    w: float
    h: float
    text: str
    confidence: float


def predict(seen: Sequence[Seen], t: int) -> Place:
    """Where the plate is at `t`: between two looks on the line, outside by the velocity of the nearest ones."""
    last = seen[-1]
    if len(seen) == 1:
        return Place(last.x, last.y, last.w, last.h, abs(t - last.t) / 1000, False)
    if t >= last.t:
        near, far = last, _before(seen, last.t)
    elif t <= seen[0].t:
        near, far = seen[0], _after(seen, seen[0].t)
    else:
        after = next(s for s in seen if s.t > t)
        before = seen[seen.index(after) - 1]
        k = (t - before.t) / (after.t - before.t)
        return Place(
            before.x + k * (after.x - before.x),
            before.y + k * (after.y - before.y),
            before.w + k * (after.w - before.w),
            before.h + k * (after.h - before.h),
            min(t - before.t, after.t - t) / 1000,
            True,
        )
    span = near.t - far.t
    if not span:
        return Place(near.x, near.y, near.w, near.h, abs(t - near.t) / 1000, False)
    # a velocity is believed for a second, growth for less: plates near the camera leave the picture
    ahead = t - near.t
    k = (1000 if ahead > 1000 else -1000 if ahead < -1000 else ahead) / span
    growth = (near.w / (far.w if far.w > 1.0 else 1.0)) ** (3.0 if k > 3.0 else -3.0 if k < -3.0 else k)
    growth = 2.0 if growth > 2.0 else 0.5 if growth < 0.5 else growth
    return Place(
        near.x + k * (near.x - far.x),
        near.y + k * (near.y - far.y),
        near.w * growth,
        near.h * growth,
        abs(ahead) / 1000,
        True,
    )


def _before(seen: Sequence[Seen], t: int) -> Seen:
    latest = t - _BASE_MS
    for s in reversed(seen):
        if s.t <= latest:
            return s
    return seen[0]


def _after(seen: Sequence[Seen], t: int) -> Seen:
    earliest = t + _BASE_MS
    for s in seen:
        if s.t >= earliest:
            return s
    return seen[-1]


def cost(track: Track, place: Place, offer: Offer) -> float:
    """How unlikely it is that the track's vehicle is what was read; below 0 for a clear yes, inf for a clear no.

    What lies above the highest limit may be told as inf.
    """
    same = offer.text == track.lead
    if track.still:
        # pictures of a folder follow each other without motion: only the text can join them
        return -1.0 if same and offer.text else math.inf
    doubt = place.dt if place.dt < 2.0 else 2.0
    wider = offer.w if offer.w > place.w else place.w
    sigma = _SIGMA_0 + (_SIGMA_MOVING if place.moving else _SIGMA_NEW) * doubt
    off = math.hypot(offer.x - place.x, offer.y - place.y) / (wider if wider > 12.0 else 12.0) / sigma
    if off > _OUT_OF_REACH and not same:
        # most pairs of a frame end here
        return math.inf
    larger = (offer.w if offer.w > 1.0 else 1.0) / (place.w if place.w > 1.0 else 1.0)
    grown = math.log(larger) / (0.3 + 0.8 * doubt)
    motion = 0.5 * (off * off + grown * grown) + _PER_SECOND * place.dt
    if not offer.text or not track.lead:
        return motion + _NO_TEXT
    if motion > MAX_COST and not same:
        return math.inf
    text = 0.0 if same else distance(offer.text, track.lead)
    if text > _LOOKALIKE and len(track.texts) > 1 and offer.text in track.texts:
        # it has been read like that before: what flickers once flickers again
        text = min(text, _LOOKALIKE)
    if text > _HIDDEN and len(offer.text) != len(track.lead) and _piece(offer.text, track.lead):
        # a vehicle between hides the plate's end, or has just let go of it
        text = _HIDDEN
    # what was read alike again and again is surer than any one read of it
    sure = offer.confidence * (1.0 - (1.0 - track.lead_confidence) / track.texts[track.lead][0])
    if text == 0.0:
        # one plate exists once: the same text may jump, as it does when a dash cam hits a bump
        jump = motion if motion < _SAME_TEXT_MOTION else _SAME_TEXT_MOTION
        return jump - _SAME_TEXT_BONUS * (0.3 + 0.7 * sure)
    if text >= _OTHER_VEHICLE and sure > 0.5:
        return math.inf
    # even a blurred read seldom gets more than half of a plate wrong
    strange = _STRANGE if text > 0.5 * max(len(offer.text), len(track.lead)) else 0.0
    return motion + text * (_PER_DIFFERENCE + _PER_SURE_DIFFERENCE * sure) + strange


def _piece(a: str, b: str) -> bool:
    """True when one of the two texts, of unequal length, is a piece of the other."""
    return fragment(a, b) if len(a) < len(b) else fragment(b, a)


def choose(tracks: Sequence[Track], offers: Sequence[Offer], t: int) -> list[int]:
    """Index of the track that each offer goes to at `t`, -1 for none: all offers at once, at the least cost.

    Not choosing costs the offer's limit, and pairs above it are never chosen.
    """
    places: list[Place | None] = [None] * len(tracks)
    cheapest = [_cheapest(tracks, places, offer, t) for offer in offers]
    taken = [column for column in cheapest if column >= 0]
    if len(taken) < 2 or len(set(taken)) == len(taken):
        return cheapest
    known = [place or predict(track.seen, t) for track, place in zip(tracks, places, strict=True)]
    costs = [[cost(track, place, offer) for track, place in zip(tracks, known, strict=True)] for offer in offers]
    return assign(costs, [_limit(offer) for offer in offers])


def by_place(tracks: Sequence[Track], offers: Sequence[Offer], chosen: Sequence[int], t: int) -> dict[int, int]:
    """Offer -> track by place alone, of those that `choose` left without each other: nearest pairs first.

    For offers whose text says nothing and tracks that are known by theirs: a plate too far away to be read keeps its
    vehicle's track alive and begins none of its own.
    """
    left = [row for row, column in enumerate(chosen) if column < 0 and offers[row].confidence < _SAYS_NOTHING]
    if not left:
        return {}
    taken = set(chosen)
    free = [
        (column, predict(track.seen, t))
        for column, track in enumerate(tracks)
        if column not in taken and track.lead_confidence >= _KNOWN and not track.still
    ]
    pairs = [
        (cost(tracks[column], place, msgspec.structs.replace(offers[row], text="")), row, column)
        for row in left
        for column, place in free
    ]
    found: dict[int, int] = {}
    for price, row, column in sorted(pairs):
        if price <= MAX_COST_UNREAD and row not in found and column not in found.values():
            found[row] = column
    return found


def _limit(offer: Offer) -> float:
    return MAX_COST if offer.text else MAX_COST_UNREAD


def _cheapest(tracks: Sequence[Track], places: list[Place | None], offer: Offer, t: int) -> int:
    """The track that costs the offer least, the first of equals; -1 where that is above the limit.

    Only tracks that may be it are looked at closely: those with the same text first, and another one not when its
    text and the time since its last look alone cost more than the best so far.
    """
    text = offer.text
    least, chosen = math.inf, -1
    others = []
    for column, track in enumerate(tracks):
        if track.lead != text:
            others.append(column)
            continue
        place = places[column] or predict(track.seen, t)
        places[column] = place
        price = cost(track, place, offer)
        if price < least:
            least, chosen = price, column
    for column in reversed(others) if least >= _LEAST_UNLIKE else ():
        track = tracks[column]
        if _LEAST_UNLIKE + _PER_SECOND * ((t - track.last_t) / 1000) > least:
            continue
        place = places[column] or predict(track.seen, t)
        places[column] = place
        price = cost(track, place, offer)
        if price < least or (price == least and column < chosen):
            least, chosen = price, column
    return chosen if least <= _limit(offer) else -1


def assign(costs: Sequence[Sequence[float]], limits: Sequence[float]) -> list[int]:
    """Cheapest choice of a column for every row, -1 for none; pairs above the row's limit are never chosen.

    Not choosing costs the limit. Exact (shortest augmenting paths).
    """
    rows, columns = len(costs), len(costs[0])
    # a private column per row stands for "none of them"
    square = [
        [c if c <= limits[i] else 1e6 for c in row] + [limits[i] if k == i else 1e6 for k in range(rows)]
        for i, row in enumerate(costs)
    ]
    chosen = _hungarian(square)
    return [column if column < columns and costs[i][column] <= limits[i] else -1 for i, column in enumerate(chosen)]


def _hungarian(costs: Sequence[Sequence[float]]) -> list[int]:
    """Column of every row in a cheapest assignment; needs at least as many columns as rows."""
    n, m = len(costs), len(costs[0])
    u, v = [0.0] * (n + 1), [0.0] * (m + 1)
    owner, way = [0] * (m + 1), [0] * (m + 1)
    for i in range(1, n + 1):
        owner[0] = i
        column = 0
        least = [math.inf] * (m + 1)
        used = [False] * (m + 1)
        while True:
            used[column] = True
            row, delta, following = owner[column], math.inf, 0
            for j in range(1, m + 1):
                if not used[j]:
                    reduced = costs[row - 1][j - 1] - u[row] - v[j]
                    if reduced < least[j]:
                        least[j], way[j] = reduced, column
                    if least[j] < delta:
                        delta, following = least[j], j
            for j in range(m + 1):
                if used[j]:
                    u[owner[j]] += delta
                    v[j] -= delta
                else:
                    least[j] -= delta
            column = following
            if owner[column] == 0:
                break
        while column:
            owner[column] = owner[way[column]]
            column = way[column]
    chosen = [-1] * n
    for j in range(1, m + 1):
        if owner[j]:
            chosen[owner[j] - 1] = j - 1
    return chosen
