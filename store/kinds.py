"""What messages say -> what columns hold, for one value and for a whole column of them: the same outcomes.

`one` is the rule. `many` gives a column of what `one` gives for each value, quickly where all values are as they
should be, and goes by `one` where some are not.
"""

import math
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import chain
from typing import Any, NamedTuple
from uuid import UUID

import numpy as np

from schemas.read import Candidate, Point
from schemas.sighting import TrailPoint
from store.columns import Column, Numbers, Parts, Ragged

MAX_PLATE = 32
MAX_ID = 128
MAX_CANDIDATES = 20
MAX_TRAIL = 2_000
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
LATEST = datetime(2099, 12, 31, 23, 59, 59, tzinfo=UTC)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST_MS = int(EARLIEST.timestamp() * 1000)
_LATEST_MS = int(LATEST.timestamp() * 1000)
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")
_DASHES = [8, 13, 18, 23]
_DIGITS = [place for place in range(36) if place not in _DASHES]
_HUGE = 3e38
"""The largest that a Float32 holds, nearly."""


class BadRow(ValueError):
    """The message can never be a row; the text says which field and why."""


class Kind(NamedTuple):
    """How values of one kind are made to fit."""

    one: Callable[[Any], Any]
    many: Callable[[list[Any]], Column]


def cut(text: str, most: int) -> str:
    """At most `most` characters, without the zero bytes and half surrogates that no UTF-8 can carry."""
    if len(text) <= most and text.isascii() and "\0" not in text:
        return text
    return text[:most].encode("utf-8", "ignore").decode().replace("\0", "")


def text(most: int) -> Kind:
    """Text of at most `most` characters."""

    def many(values: list[str]) -> Column:
        joined = "".join(values)
        if joined.isascii() and "\0" not in joined and max(map(len, values), default=0) <= most:
            return values
        return [cut(value, most) for value in values]

    return Kind(lambda value: cut(value, most), many)


def whole(bits: int) -> Kind:
    """A whole number of 0 to 2^bits - 1."""
    return _integers(0, (1 << bits) - 1, f"<u{bits // 8}")


def signed(bits: int) -> Kind:
    """A whole number of -2^(bits-1) to 2^(bits-1) - 1."""
    edge = 1 << (bits - 1)
    return _integers(-edge, edge - 1, f"<i{bits // 8}")


def _integers(least: int, most: int, width: str) -> Kind:
    def one(value: int) -> int:
        return min(max(value, least), most)

    def many(values: list[int]) -> Column:
        try:
            wide = np.array(values, "<i8")
        except OverflowError:
            return np.array([one(value) for value in values], width)
        fitting: Numbers = np.clip(wide, max(least, -(1 << 63)), min(most, (1 << 63) - 1)).astype(width)
        return fitting

    return Kind(one, many)


def uuid_text(field: str, value: str) -> str:
    """A UUID in its usual form.

    Raises:
        BadRow: `value` is none.
    """
    if _UUID.match(value):
        return value
    try:
        return str(UUID(value))
    except (ValueError, AttributeError, TypeError):
        raise BadRow(f"{field}: {str(value)[:60]!r} is no UUID") from None


def uuid(field: str) -> Kind:
    """A UUID; `field` is its name for `BadRow`."""

    def many(values: list[str]) -> Column:
        joined = "".join(values)
        if set(map(len, values)) == {36} and joined.isascii():
            letters = np.frombuffer(joined.encode(), "S1").reshape(-1, 36)
            if (letters[:, _DASHES] == b"-").all():
                digits = letters[:, _DIGITS].tobytes().decode()
                # only hexadecimal digits: fromhex would pass over blanks
                if digits.isalnum():
                    try:
                        return np.frombuffer(bytes.fromhex(digits), ">u8").astype("<u8").reshape(-1, 2)
                    except ValueError:
                        pass
        return [uuid_text(field, value) for value in values]

    return Kind(lambda value: uuid_text(field, value), many)


def _moment(value: datetime) -> datetime:
    aware = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
    if EARLIEST <= aware <= LATEST:
        return aware
    return EARLIEST if aware < EARLIEST else LATEST


def _moments(values: list[datetime]) -> Numbers:
    try:
        passed = [value - _EPOCH for value in values]
    except TypeError:  # one is naive
        passed = [_moment(value) - _EPOCH for value in values]
    days = np.array([one.days for one in passed], "<i8")
    seconds = np.array([one.seconds for one in passed], "<i8")
    microseconds = np.array([one.microseconds for one in passed], "<i8")
    ticks: Numbers = np.clip((days * 86_400 + seconds) * 1000 + microseconds // 1000, _EARLIEST_MS, _LATEST_MS)
    return ticks


MOMENT = Kind(_moment, _moments)
"""A time between EARLIEST and LATEST; without a zone it is UTC."""
MILLISECONDS = _integers(_EARLIEST_MS, _LATEST_MS, "<i8")
"""The same as epoch milliseconds, which are the ticks of the column."""


def _number(value: float) -> float:
    """NaN fails the comparison, here and below."""
    if -_HUGE <= value <= _HUGE:
        return value
    return min(max(value, -_HUGE), _HUGE) if math.isfinite(value) else 0.0


def _probability(value: float) -> float:
    if 0.0 <= value <= 1.0:
        return value
    return min(max(value, 0.0), 1.0) if math.isfinite(value) else 0.0


def _bounded(values: Any, least: float, most: float) -> Numbers:
    wide = np.array(values, "<f8")
    return np.where(np.isfinite(wide), np.clip(wide, least, most), 0.0)


NUMBER = Kind(_number, lambda values: _bounded(values, -_HUGE, _HUGE))
PROBABILITY = Kind(_probability, lambda values: _bounded(values, 0.0, 1.0))
FLAG = Kind(int, lambda values: np.array(values, "<u1"))


def _heading(degrees: float | None) -> float | None:
    return degrees % 360.0 if degrees is not None and math.isfinite(degrees) else None


def _headings(values: list[float | None]) -> Column:
    wide = np.array(values, "<f8")
    wide[np.isinf(wide)] = np.nan
    turned: Numbers = np.mod(wide, 360.0)
    return turned


def _speed(metres_per_second: float | None) -> float | None:
    """Faster than 200 m/s no camera drives."""
    if metres_per_second is None or not 0.0 <= metres_per_second <= 200.0:
        return None
    return metres_per_second


def _speeds(values: list[float | None]) -> Column:
    wide = np.array(values, "<f8")
    return np.where((wide >= 0.0) & (wide <= 200.0), wide, np.nan)


HEADING = Kind(_heading, _headings)
SPEED = Kind(_speed, _speeds)


def on_the_globe(lat: float | None, lon: float | None) -> bool:
    """Whether both are known and can be."""
    return lat is not None and lon is not None and -90.0 <= lat <= 90.0 and -180.0 <= lon <= 180.0


def _half(place: int) -> Kind:
    """Latitude or longitude of a pair: both or neither are NULL."""

    def many(pairs: list[tuple[float | None, float | None]]) -> Column:
        wide = np.array(pairs, "<f8").reshape(-1, 2)
        good = (np.abs(wide[:, 0]) <= 90.0) & (np.abs(wide[:, 1]) <= 180.0)
        return np.where(good, wide[:, place], np.nan)

    return Kind(lambda pair: pair[place] if on_the_globe(*pair) else None, many)


LATITUDE, LONGITUDE = _half(0), _half(1)


def _candidates(candidates: Sequence[Candidate]) -> list[tuple[str, float]]:
    return [(cut(one.plate, MAX_PLATE), _probability(one.confidence)) for one in candidates[:MAX_CANDIDATES]]


def _ragged(values: list[Any], most: int) -> tuple[Numbers, list[Any]]:
    """Where each of `values` ends, and all of their items; at most `most` of each."""
    if max(map(len, values), default=0) > most:
        values = [value[:most] for value in values]
    return np.cumsum(np.fromiter(map(len, values), "<i8", len(values))), list(chain.from_iterable(values))


def _candidate_columns(values: list[Sequence[Candidate]]) -> Column:
    ends, flat = _ragged(values, MAX_CANDIDATES)
    plates = PLATE.many([one.plate for one in flat])
    return Ragged(ends, Parts((plates, PROBABILITY.many([one.confidence for one in flat]))))


def _plates(values: list[Sequence[str]]) -> Column:
    ends, flat = _ragged(values, MAX_CANDIDATES)
    return Ragged(ends, PLATE.many(flat))


def _trail(points: Sequence[TrailPoint]) -> list[tuple[datetime, float, float]]:
    return [(_moment(p.at), p.lat, p.lon) for p in points[:MAX_TRAIL] if on_the_globe(p.lat, p.lon)]


def _trails(values: list[Sequence[TrailPoint]]) -> Column:
    ends, flat = _ragged(values, MAX_TRAIL)
    lat, lon = np.array([p.lat for p in flat], "<f8"), np.array([p.lon for p in flat], "<f8")
    good = (np.abs(lat) <= 90.0) & (np.abs(lon) <= 180.0)
    if not good.all():
        kept = np.concatenate([[0], np.cumsum(good)])
        ends, flat = kept[ends], [point for point, fits in zip(flat, good.tolist(), strict=True) if fits]
        lat, lon = lat[good], lon[good]
    return Ragged(ends, Parts((_moments([p.at for p in flat]), lat, lon)))


def _corners(points: Sequence[Point]) -> list[tuple[float, float]]:
    return [(_number(x), _number(y)) for x, y in points]


def _flat_numbers(values: list[Sequence[float]]) -> Numbers:
    """All numbers of all values in one row: numpy takes nested tuples apart four times as slowly."""
    return _bounded(np.fromiter(chain.from_iterable(values), "<f8"), -_HUGE, _HUGE)


def _corner_columns(values: list[Sequence[Point]]) -> Column:
    ends, flat = _ragged(values, 4)
    wide = _flat_numbers(flat).reshape(-1, 2)
    return Ragged(ends, Parts((wide[:, 0], wide[:, 1])))


def _box_columns(values: list[Sequence[float]]) -> Column:
    wide = _flat_numbers(values).reshape(-1, 4)
    return Parts(tuple([wide[:, place] for place in range(4)]))


PLATE = text(MAX_PLATE)
NAME = text(MAX_ID)
AS_IT_IS = Kind(lambda value: value, lambda values: values)
CANDIDATES = Kind(_candidates, _candidate_columns)
PLATES = Kind(lambda values: [cut(value, MAX_PLATE) for value in values[:MAX_CANDIDATES]], _plates)
TRAIL = Kind(_trail, _trails)
CORNERS = Kind(_corners, _corner_columns)
BOX = Kind(lambda box: tuple([_number(value) for value in box]), _box_columns)
