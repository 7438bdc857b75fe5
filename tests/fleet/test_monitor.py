"""What a run's monitor keeps: latencies where they are reported, and no more than it needs where a run has no end."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from fleet import monitor, run
from fleet.monitor import Monitor
from fleet.run import Plan, Run, Screen
from fleet.settings import Settings
from plumbing.kafka_admin import NO_SECURITY
from schemas.alert import Alert
from schemas.sighting import Sighting
from tests.delivery.places import alert
from tests.store.samples import sighting


class Told:
    """A monitor that nothing has started, and what it told."""

    def __init__(self, *, measure: bool) -> None:
        self.sightings: list[Sighting] = []
        self.alerts: list[Alert] = []
        self.monitor = Monitor(
            "b:1", "http://s:1", NO_SECURITY, self.sightings.append, self.alerts.append, measure=measure
        )

    def kept(self) -> int:
        """Things that it holds."""
        fields = [*vars(self.monitor).values(), *dataclasses.astuple(self.monitor.seen)]
        return sum(len(value) for value in fields if isinstance(value, (list, dict, set)))


def numbered(number: int, **more: Any) -> Sighting:
    return sighting(sighting_id=f"s{number}", **more)


def test_a_run_without_an_end_keeps_a_bounded_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitor, "_TOLD", 100)
    told = Told(measure=False)
    before = told.kept()
    for number in range(1000):
        told.monitor._take_sighting(numbered(number, status="provisional"))
        told.monitor._take_sighting(numbered(number, status="provisional"))
        told.monitor._take_sighting(numbered(number, status="final"))
        told.monitor._take_alert(alert(number), 0)
    assert (len(told.sightings), len(told.alerts)) == (2000, 1000)
    assert told.kept() - before <= 100
    assert told.monitor.seen.first_sighting is not None


def test_latencies_are_kept_where_they_will_be_reported() -> None:
    told = Told(measure=True)
    told.monitor._take_sighting(numbered(1))
    told.monitor._take_alert(alert(1), 0)
    told.monitor._note([{"id": "s1", "at": None}], [], 0)
    assert (len(told.monitor.seen.sighting_ms), len(told.monitor.seen.alert_ms)) == (1, 1)


@pytest.mark.parametrize(("leave", "now", "measured"), [(True, True, True), (False, True, False), (True, False, False)])
def test_sql_is_asked_only_for_a_report_with_latencies(
    leave: bool, now: bool, measured: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[bool] = []

    class Begun(Exception):
        """Far enough."""

    def begin(*_: object, measure: bool) -> None:
        asked.append(measure)
        raise Begun

    monkeypatch.setattr(run, "Monitor", begin)
    plan = Plan("folder", None, "realtime", now, leave, (), None, 0.0)
    nowhere = Screen(print, print, print)
    made = Run(Settings(data_dir=tmp_path, store_url="http://s:1"), plan, nowhere, stop=None)  # type: ignore[arg-type]
    with pytest.raises(Begun):
        made._with_cameras(None)  # type: ignore[arg-type]
    assert asked == [measured]
