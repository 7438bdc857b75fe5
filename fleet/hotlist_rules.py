"""The rules of a list as a person writes them. In: options, GeoJSON. Out: `HotlistRules`, or what is wrong."""

import json
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from fleet.errors import CommandError
from fleet.hotlists import check_name, check_region, moment
from schemas.hotlist import HotlistRules, Hours, MultiPolygon
from streams.rules import DAYS, problems

_HOURS = re.compile(r"^(?:([a-z,-]+)\s+)?(\d\d:\d\d)-(\d\d:\d\d)$")


def change_rules(
    before: HotlistRules | None, hotlist_id: str, changes: Mapping[str, Any], now: datetime, by: str
) -> HotlistRules:
    """The rules with some of them changed.

    Args:
        before: as they are; None: the list has none yet.
        hotlist_id: name of the list.
        changes: field -> value as a person wrote it: texts for times, hours, headings; a path for the area; an empty
            text takes a rule away.
        now: time of the change.
        by: who makes it.

    Raises:
        ValueError: a value is wrong, or rules contradict each other.
    """
    fields = msgspec.structs.asdict(before) if before else {"hotlist_id": check_name(hotlist_id)}
    for name, value in changes.items():
        fields[name] = _READ.get(name, lambda same: same)(value)
    fields |= {"updated_at": now, "updated_by": by}
    try:
        # through JSON: bounds hold for what is decoded
        rules = msgspec.json.decode(msgspec.json.encode(fields), type=HotlistRules)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from error
    for problem in problems(rules):
        raise ValueError(problem)
    if rules.valid_from and rules.valid_until and rules.valid_until <= rules.valid_from:
        raise ValueError("the list ends before it begins")
    return rules


def parse_hours(text: str) -> Hours:
    """`mon-fri,sun 22:00-06:00`, or times alone for every day.

    Raises:
        ValueError: it is not of this form.
    """
    found = _HOURS.match(text.strip().lower())
    if not found:
        raise ValueError(f"hours {text!r:.60}: write them as 'mon-fri,sun 22:00-06:00' or '22:00-06:00'")
    days: list[str] = []
    for part in (found[1] or "mon-sun").split(","):
        first, _, last = part.partition("-")
        last = last or first
        if first not in DAYS or last not in DAYS:
            raise ValueError(f"hours {text!r:.60}: days are {', '.join(DAYS)}")
        begin, end = DAYS.index(first), DAYS.index(last)
        span = range(begin, end + 1) if begin <= end else (*range(begin, 7), *range(end + 1))
        days += [DAYS[i] for i in span if DAYS[i] not in days]
    every = len(days) == len(DAYS)
    return msgspec.convert({"days": [] if every else days, "begin": found[2], "end": found[3]}, Hours)


def read_area(path: Path) -> MultiPolygon | None:
    """The polygons of a GeoJSON file: a geometry, a feature or a collection of them.

    Raises:
        CommandError: the file cannot be read, or holds no polygon, or something else.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"))
        return msgspec.convert({"coordinates": [_flat(one) for one in _polygons(found)]}, MultiPolygon)
    except OSError as error:
        raise CommandError(f"{path}: {(error.strerror or str(error)).lower()}") from error
    except (ValueError, KeyError, TypeError, msgspec.ValidationError) as error:
        raise CommandError(f"{path}: no polygon in GeoJSON: {error}") from error


def _polygons(value: Any) -> Iterable[Any]:
    kind = value["type"]
    if kind == "FeatureCollection":
        return [one for feature in value["features"] for one in _polygons(feature)]
    if kind == "Feature":
        return _polygons(value["geometry"])
    if kind == "GeometryCollection":
        return [one for geometry in value["geometries"] for one in _polygons(geometry)]
    if kind == "Polygon":
        return [value["coordinates"]]
    if kind == "MultiPolygon":
        return list(value["coordinates"])
    raise ValueError(f"a {kind} encloses nothing")


def _flat(polygon: Any) -> list[list[tuple[float, float]]]:
    """Without the heights that positions may have."""
    return [[(float(position[0]), float(position[1])) for position in ring] for ring in polygon]


def _headings(text: str) -> tuple[float, float] | None:
    if not text:
        return None
    found = re.match(r"^(\d+(?:\.\d+)?)-(\d+(?:\.\d+)?)$", text.strip())
    if not found:
        raise ValueError(f"headings {text!r:.40}: write degrees, clockwise, as 350-45")
    return float(found[1]), float(found[2])


def _threshold(text: str) -> float | None:
    return float(text) if text else None


_READ: dict[str, Any] = {
    "region": check_region,
    "valid_from": moment,
    "valid_until": moment,
    "schedule": lambda texts: tuple(parse_hours(text) for text in texts if text),
    "area": lambda path: read_area(Path(path)) if path else None,
    "headings": _headings,
    "threshold": _threshold,
}
"""How a field is read from what a person wrote; others are taken as they are."""
