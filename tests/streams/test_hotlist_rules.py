"""What a list asks beside the text: when, where, which way, which region."""

from datetime import UTC, datetime
from typing import Any

import pytest

from plumbing.clock import from_ms
from schemas.hotlist import HotlistRules, Hours, MultiPolygon
from streams.rules import heading_within, inside, list_allows, problems, region_fits, scheduled
from tests.streams.test_vehicle_alerts import sighting

SQUARE = ((13.0, 52.0), (14.0, 52.0), (14.0, 53.0), (13.0, 53.0), (13.0, 52.0))
HOLE = ((13.4, 52.4), (13.6, 52.4), (13.6, 52.6), (13.4, 52.6), (13.4, 52.4))
FAR = ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (0.0, 0.0))
ACROSS = ((179.0, -17.0), (-179.0, -17.0), (-179.0, -16.0), (179.0, -16.0), (179.0, -17.0))
WEST, EAST = (((x, -17.0), (x + 1.0, -17.0), (x + 1.0, -16.0), (x, -16.0), (x, -17.0)) for x in (179.0, -180.0))
AREA = MultiPolygon(coordinates=((SQUARE, HOLE), (FAR,)))


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("at", "wanted"),
    [
        ("2026-03-02T20:59", False),  # Monday 21:59 in Berlin
        ("2026-03-02T21:00", True),
        ("2026-03-03T04:59", True),  # Tuesday 05:59: Monday's night
        ("2026-03-03T05:00", False),
        ("2026-03-03T21:30", False),
        ("2026-03-01T22:30", False),  # Sunday night
        ("2026-03-07T09:00", True),  # Saturday, all day
        ("2026-03-07T22:59", True),
        ("2026-03-07T23:00", False),
    ],
)
def test_schedule(at: str, wanted: bool) -> None:
    week = (Hours(days=("mon",), begin="22:00", end="06:00"), Hours(days=("sat",)))
    assert scheduled(week, "Europe/Berlin", moment(at)) is wanted


def test_a_schedule_follows_summer_time() -> None:
    eight = (Hours(begin="08:00", end="09:00"),)
    assert scheduled(eight, "Europe/Berlin", moment("2026-03-01T07:30"))
    assert scheduled(eight, "Europe/Berlin", moment("2026-07-01T06:30"))
    assert not scheduled(eight, "Europe/Berlin", moment("2026-07-01T07:30"))


@pytest.mark.parametrize(
    ("lat", "lon", "wanted"),
    [
        (52.1, 13.1, True),
        (52.5, 13.5, False),
        (53.1, 13.5, False),
        (52.5, 12.9, False),
        (0.1, 0.1, True),
        (0.9, 0.9, False),
        (None, None, False),
    ],
)
def test_area(lat: float | None, lon: float | None, wanted: bool) -> None:
    assert inside(AREA, lat, lon) is wanted


@pytest.mark.parametrize(
    ("heading", "wanted"), [(350.0, True), (0.0, True), (45.0, True), (46.0, False), (349.0, False), (None, False)]
)
def test_headings_go_round_north(heading: float | None, wanted: bool) -> None:
    assert heading_within((350.0, 45.0), heading) is wanted


@pytest.mark.parametrize(
    ("wanted", "region", "strict", "fits"),
    [
        ("", "DE", False, True),
        ("DE", "DE", True, True),
        ("US", "US-CA", True, True),
        ("US", "USX", False, False),
        ("DE", "FR", False, False),
        ("DE", "", False, True),
        ("DE", "", True, False),
        ("US-CA", "US", False, True),
        ("US-CA", "US", True, False),
        ("US-CA", "US-NV", False, False),
    ],
)
def test_region(wanted: str, region: str, strict: bool, fits: bool) -> None:
    assert region_fits(wanted, region, strict) is fits


@pytest.mark.parametrize(
    ("rule", "seen", "wanted"),
    [
        ({"direction": "receding"}, {"direction": "receding"}, True),
        ({"direction": "receding"}, {"direction": "unknown"}, False),
        ({"region": "DE"}, {"region": "FR"}, False),
        ({"area": AREA}, {"lat": 52.1, "lon": 13.1}, True),
        ({"area": AREA}, {"lat": 10.0, "lon": 13.1}, False),
        ({"valid_from": from_ms(0)}, {}, True),
        ({"valid_until": from_ms(0)}, {}, False),
        ({"headings": (80.0, 100.0)}, {"heading": 90.0}, True),
        ({"schedule": (Hours(begin="00:00", end="00:01"),)}, {"last_seen": moment("2026-03-01T12:00")}, False),
    ],
)
def test_everything_that_a_list_asks_must_hold(rule: dict[str, Any], seen: dict[str, Any], wanted: bool) -> None:
    asked = HotlistRules(hotlist_id="stolen", updated_at=from_ms(0), **rule)
    assert list_allows(asked, sighting("ABC123", 1, **seen)) is wanted


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        ({"time_zone": "Mars/Olympus"}, "time zone"),
        ({"time_zone": "../../etc/passwd"}, "time zone"),
        ({"area": MultiPolygon(coordinates=(((SQUARE[0], SQUARE[1]),),))}, "fewer than four"),
        ({"area": MultiPolygon(coordinates=((SQUARE[:-1],),))}, "does not end where it begins"),
        ({"area": MultiPolygon(coordinates=((((52.0, 130.0),) * 4,),))}, "longitude, latitude"),
        ({"area": MultiPolygon(coordinates=((ACROSS,),))}, "split what crosses the antimeridian at +-180"),
        ({"headings": (0.0, 400.0)}, "degrees"),
    ],
)
def test_what_cannot_be_is_told(rule: dict[str, Any], problem: str) -> None:
    (told,) = problems(HotlistRules(hotlist_id="stolen", updated_at=from_ms(0), **rule))
    assert problem in told


def test_an_area_that_is_split_at_the_antimeridian_holds_both_sides() -> None:
    area = MultiPolygon(coordinates=((WEST,), (EAST,)))
    assert list(problems(HotlistRules(hotlist_id="stolen", updated_at=from_ms(0), area=area))) == []
    assert [inside(area, -16.5, lon) for lon in (178.9, 179.5, -179.5, -178.9, 13.0)] == [
        False,
        True,
        True,
        False,
        False,
    ]
