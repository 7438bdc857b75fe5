"""What a list asks of a sighting besides its text: when, where, which way, which region. Pure; times are passed in."""

import itertools
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from schemas.hotlist import HotlistEntry, HotlistRules, Hours, MultiPolygon
from schemas.sighting import Sighting

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def allowed(entry: HotlistEntry, rules: HotlistRules, sighting: Sighting) -> bool:
    """True when the sighting, met by its text, meets the rest of what the entry and its list ask.

    An entry's validity, region and so on are asked for beside those of its list.
    """
    at = sighting.last_seen
    return (
        valid(entry.valid_from, entry.valid_until, at)
        and region_fits(entry.region, sighting.region, rules.strict_region)
        and list_allows(rules, sighting)
    )


def list_allows(rules: HotlistRules, sighting: Sighting) -> bool:
    """True when the sighting meets what the list asks of all."""
    at = sighting.last_seen
    return (
        valid(rules.valid_from, rules.valid_until, at)
        and region_fits(rules.region, sighting.region, rules.strict_region)
        and (not rules.direction or sighting.direction == rules.direction)
        and (rules.headings is None or heading_within(rules.headings, sighting.heading))
        and (not rules.schedule or scheduled(rules.schedule, rules.time_zone, at))
        and (rules.area is None or inside(rules.area, sighting.lat, sighting.lon))
    )


def valid(begin: datetime | None, end: datetime | None, at: datetime) -> bool:
    """True from `begin` until before `end`; a time that came without an offset is UTC."""
    if begin is not None and _aware(begin) > _aware(at):
        return False
    return end is None or _aware(end) > _aware(at)


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def region_fits(wanted: str, region: str, strict: bool) -> bool:
    """`US` includes `US-CA`. A region that is not known fits, unless `strict`.

    A sighting of `US` is not known to be outside `US-CA`.
    """
    if not wanted:
        return True
    if not region or wanted.startswith(region + "-"):
        return not strict
    return region == wanted or region.startswith(wanted + "-")


def heading_within(sector: tuple[float, float], heading: float | None) -> bool:
    """True when `heading` lies clockwise from the first to the second; one that is not known does not."""
    if heading is None:
        return False
    begin, end = sector
    return (heading - begin) % 360.0 <= (end - begin) % 360.0


def scheduled(schedule: Sequence[Hours], time_zone: str, at: datetime) -> bool:
    """True when the local time lies in one of the parts of the week.

    Raises:
        ZoneInfoNotFoundError: there is no such time zone.
    """
    local = _aware(at).astimezone(ZoneInfo(time_zone))
    today, yesterday = DAYS[local.weekday()], DAYS[(local - timedelta(days=1)).weekday()]
    clock = f"{local:%H:%M}"
    for hours in schedule:
        days = hours.days or DAYS
        if hours.begin < hours.end:
            if today in days and hours.begin <= clock < hours.end:
                return True
        elif (today in days and clock >= hours.begin) or (yesterday in days and clock < hours.end):
            return True
    return False


def inside(area: MultiPolygon, lat: float | None, lon: float | None) -> bool:
    """True when the position lies in one of the polygons and in none of its holes."""
    if lat is None or lon is None:
        return False
    for outline, *holes in area.coordinates:
        if _in_ring(outline, lon, lat) and not any(_in_ring(hole, lon, lat) for hole in holes):
            return True
    return False


def _in_ring(ring: Sequence[tuple[float, float]], x: float, y: float) -> bool:
    """Even-odd rule: how often a ray to the east crosses the ring."""
    crossed = False
    x1, y1 = ring[-1]
    for x2, y2 in ring:
        if (y1 > y) != (y2 > y) and x < (x2 - x1) * (y - y1) / (y2 - y1) + x1:
            crossed = not crossed
        x1, y1 = x2, y2
    return crossed


def problems(rules: HotlistRules) -> Iterator[str]:
    """What a list's rules ask for that cannot be, in words."""
    try:
        ZoneInfo(rules.time_zone)
    except (KeyError, ValueError, OSError):
        yield f"time zone {rules.time_zone[:40]!r} is not known"
    for polygon in rules.area.coordinates if rules.area else ():
        if not polygon or any(len(ring) < 4 or ring[0] != ring[-1] for ring in polygon):
            yield "a ring of the area has fewer than four positions, or does not end where it begins"
        elif any(not (-180 <= x <= 180 and -90 <= y <= 90) for ring in polygon for x, y in ring):
            yield "the area leaves the globe; positions are longitude, latitude"
        elif any(abs(b[0] - a[0]) > 180 for ring in polygon for a, b in itertools.pairwise(ring)):
            # taken as it stands, a ring from 179 to -179 would be all but what it is meant to be
            yield (
                "an edge of the area is longer than 180 degrees of longitude; split what crosses the antimeridian "
                "at +-180 (RFC 7946 3.1.9), and give a wide area positions in between"
            )
    if rules.headings and not all(0 <= h <= 360 for h in rules.headings):
        yield "headings are degrees from 0 to 360"
