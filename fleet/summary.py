"""How a run went. In: SQL, what the monitor saw, the truth where there is one. Out: tables, or one JSON object."""

import math
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from fleet.monitor import Seen, percentile
from fleet.score import Pass, Score, score
from fleet.score import Seen as SeenSighting
from store import open_store

_SIGHTINGS = """
SELECT toString(sighting_id) AS id, camera_id, plate, confidence, region, first_seen, last_seen, frames, lat, lon
FROM sightings WHERE {where} ORDER BY first_seen
"""
_ALERTS = """
SELECT toString(alert_id) AS id, seen_at, entry, plate, match, camera_id, confidence, status, priority
FROM alerts WHERE toString(sighting_id) IN (SELECT toString(sighting_id) FROM sightings WHERE {where}) ORDER BY seen_at
"""


@dataclass(slots=True)
class Report:
    """All that is told at the end."""

    frames: int
    seconds: float
    """First frame sent to last row in SQL."""
    sightings: list[dict[str, Any]]
    alerts: list[dict[str, Any]]
    latency: dict[str, dict[str, float]] = field(default_factory=dict)
    """What -> p50, p99 in seconds and how many; empty where frames were not played in real time."""
    start_seconds: float | None = None
    """Start of the command to the first sighting, rendering left out."""
    memory_bytes: int = 0
    truth: Score | None = None
    source_errors: int = 0
    """Pictures and files that could not be sent."""
    dead_letters: int = 0
    """Messages that could not be processed during the run."""

    @property
    def frames_per_second(self) -> float:
        """Through the whole pipeline."""
        return self.frames / self.seconds if self.seconds else 0.0

    def as_json(self) -> dict[str, Any]:
        """One object, times in seconds."""
        told: dict[str, Any] = {
            "frames": self.frames,
            "seconds": round(self.seconds, 3),
            "frames_per_second": round(self.frames_per_second, 2),
            "sightings": len(self.sightings),
            "alerts": len(self.alerts),
            "latency": self.latency,
            "start_to_first_sighting_seconds": self.start_seconds,
            "memory_bytes": self.memory_bytes,
            "source_errors": self.source_errors,
            "dead_letters": self.dead_letters,
        }
        if self.truth is not None:
            told["truth"] = truth_figures(self.truth)
        return told


def truth_figures(result: Score) -> dict[str, Any]:
    """The counts of a score by name."""
    return {
        "passes": result.passes,
        "legible": result.legible,
        "right": result.right,
        "wrong": len(result.wrong),
        "missed": len(result.missed),
        "doubled": len(result.doubled),
        "invented": len(result.invented),
        "right_though_hardly_legible": result.bonus,
    }


def collect(store_url: str, cameras: Sequence[str], since: datetime, until: datetime) -> tuple[list[Any], list[Any]]:
    """Sightings of these cameras that were opened in this time, and their alerts.

    Raises:
        StoreError: the store does not answer.
    """
    where = (
        "camera_id IN {cameras:Array(String)} AND opened_at >= {since:DateTime64(3, 'UTC')} "
        "AND opened_at <= {until:DateTime64(3, 'UTC')}"
    )
    parameters = {"cameras": list(cameras), "since": since, "until": until}
    with closing(open_store(store_url)) as store:
        sightings = store.query(_SIGHTINGS.replace("{where}", where), parameters)
        alerts = store.query(_ALERTS.replace("{where}", where), parameters)
    return sightings, alerts


def count_dead(store_url: str, since: datetime) -> int:
    """Dead letters written since then.

    Raises:
        StoreError: the store does not answer.
    """
    with closing(open_store(store_url)) as store:
        (row,) = store.query(
            "SELECT count() AS n FROM dead_letters WHERE at >= {since:DateTime64(3, 'UTC')}", {"since": since}
        )
    return int(str(row["n"]))


def compare(passes: Sequence[Pass], sightings: Sequence[dict[str, Any]]) -> Score:
    """Truth against the rows of SQL."""
    return score(
        passes,
        [
            SeenSighting(
                row["id"],
                row["camera_id"],
                row["plate"],
                round(row["first_seen"].timestamp() * 1000),
                round(row["last_seen"].timestamp() * 1000),
            )
            for row in sightings
        ],
    )


def latencies(seen: Seen) -> dict[str, dict[str, float]]:
    """p50 and p99 in seconds of what the monitor saw."""
    kinds = {
        "captured_to_alert": seen.alert_ms,
        "captured_to_sighting_in_sql": seen.sighting_ms,
        "captured_to_read_in_sql": seen.read_ms,
    }
    return {
        name: {
            "p50": round(percentile(values, 0.5) / 1000, 3),
            "p99": round(percentile(values, 0.99) / 1000, 3),
            "count": len(values),
        }
        for name, values in kinds.items()
        if values
    }


def print_report(report: Report, console: Console, rows: int = 40) -> None:
    """The tables for a person; a pipe or a file has no width, so that nothing is cut off there."""
    if not console.is_terminal:
        console.width = 140
    console.print(_sightings_table(report.sightings, rows))
    console.print(_alerts_table(report.alerts, rows))
    console.print(_figures_table(report))
    if report.truth is not None:
        console.print(_truth_table(report.truth))


def _sightings_table(rows: Sequence[dict[str, Any]], most: int) -> Table:
    table = Table("first seen", "camera", "plate", "conf.", "region", "frames", "position", title="sightings")
    for row in rows[:most]:
        place = "" if row["lat"] is None else f"{row['lat']:.5f},{row['lon']:.5f}"
        table.add_row(
            f"{row['first_seen']:%H:%M:%S}",
            row["camera_id"],
            row["plate"],
            f"{row['confidence']:.0%}",
            row["region"],
            str(row["frames"]),
            place,
        )
    if len(rows) > most:
        table.caption = f"{len(rows) - most} more: platefleet query 'SELECT * FROM sightings'"
    return table


def _alerts_table(rows: Sequence[dict[str, Any]], most: int) -> Table:
    table = Table("seen at", "camera", "plate", "conf.", "entry", "match", "priority", "status", title="alerts")
    for row in rows[:most]:
        table.add_row(
            f"{row['seen_at']:%H:%M:%S}",
            row["camera_id"],
            row["plate"],
            f"{row['confidence']:.0%}",
            row["entry"],
            row["match"],
            row["priority"],
            row["status"],
        )
    return table


def _figures_table(report: Report) -> Table:
    table = Table("figure", "value", title="figures")
    table.add_row("frames", str(report.frames))
    table.add_row("frames/s, first frame sent to last row in SQL", f"{report.frames_per_second:.1f}")
    for name, figures in report.latency.items():
        table.add_row(
            f"{name.replace('_', ' ')} (n = {figures['count']:.0f})",
            f"p50 {figures['p50']:.2f} s, p99 {figures['p99']:.2f} s",
        )
    if report.start_seconds is not None and not math.isnan(report.start_seconds):
        table.add_row("start to first sighting", f"{report.start_seconds:.1f} s")
    if report.source_errors:
        table.add_row("pictures and files that could not be sent", str(report.source_errors))
    if report.dead_letters:
        table.add_row("dead letters, see: platefleet dead list", str(report.dead_letters))
    if report.memory_bytes:
        table.add_row("memory of all processes, at most", f"{report.memory_bytes / 2**30:.2f} GiB")
    return table


def _truth_table(result: Score) -> Table:
    table = Table("truth against result", "", title="truth")
    names = {
        "passes": "passes in truth",
        "legible": "of these legible in a frame at least",
        "right": "legible passes with the right text",
        "wrong": "legible passes with another text",
        "missed": "legible passes missed",
        "doubled": "sightings doubled",
        "invented": "sightings of no pass",
        "right_though_hardly_legible": "right although not counted as legible",
    }
    figures = truth_figures(result)
    for key, name in names.items():
        share = f" ({result.right_share:.0%})" if key == "right" else ""
        table.add_row(name, f"{figures[key]}{share}")
    return table
