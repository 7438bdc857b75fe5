"""A week of an invented town, the same at every run: what the cookbook's questions are asked about.

Comes in: nothing. Goes out: rows for the raw tables. Six vans with a camera each drive about; hidden in the traffic
are a commuter, a convoy, an encounter, a cloned plate, a plate whose text changed, hotlist entries and their alerts.
"""

import hashlib
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from schemas.alert import Alert
from schemas.camera import CameraState
from schemas.hotlist import HotlistEntry
from schemas.ids import alert_id, sighting_id
from schemas.read import Candidate, FrameReads, PlateRead
from schemas.sighting import Evidence, Sighting, TrailPoint
from store import rows
from store.interface import Row, Store

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
MODEL = "reader-1"
_LAT, _LON = 52.5, 13.4
_METRE = 1 / 111_195
_LETTERS = "ABCDEFGHJKLMNPRSTUVWXYZ"
_CORNERS = ((100.0, 200.0), (220.0, 202.0), (220.0, 232.0), (100.0, 230.0))


def fill(store: Store) -> None:
    """Put the whole data set into a store that has been migrated and holds nothing yet.

    Raises:
        StoreError: as the store does.
    """
    for table, block in tables().items():
        store.insert(table, block, token=f"cookbook/{table}")


def tables() -> dict[str, list[Row]]:
    """Table -> its rows."""
    return _Town().tables()


@dataclass
class _Town:
    dice: random.Random = field(default_factory=lambda: random.Random(11))
    seen: list[Sighting] = field(default_factory=list)
    numbers: dict[str, int] = field(default_factory=dict)

    def tables(self) -> dict[str, list[Row]]:
        self._traffic()
        self._commuter()
        self._convoy()
        self._stories()
        alerts = list(self._alerts())
        return {
            rows.SIGHTINGS: [rows.sighting_row(one) for one in self.seen],
            rows.ALERTS: [rows.alert_row(one) for one in alerts],
            rows.READS: [row for one in _reads(self.seen[-1]) for row in rows.read_rows(one)],
            rows.CAMERA_STATES: [rows.camera_row(one) for one in _cameras()],
            rows.HOTLIST: [
                rows.hotlist_row(one.key, one, rows.Origin(0, number)) for number, one in enumerate(_entries())
            ],
        }

    def see(self, van: int, at: datetime, plate: str, north: float, east: float, **changes: Any) -> Sighting:
        """One sighting of `van`, `north` and `east` metres of the town's centre."""
        camera = f"van-{van}"
        number = self.numbers[camera] = self.numbers.get(camera, 0) + 1
        confidence = changes.pop("confidence", round(0.9 + 0.09 * self.dice.random(), 2))
        likeness = plate.translate(str.maketrans("0O1I8B5S", "O0I1B8S5"))
        lat, lon = round(_LAT + north * _METRE, 5), round(_LON + east * _METRE / 0.609, 5)
        fields: dict[str, Any] = {
            "sighting_id": sighting_id(camera, 25 * number, 0),
            "revision": 3,
            "status": "final",
            "camera_id": camera,
            "plate": plate,
            "confidence": confidence,
            "region": "DE",
            "region_confidence": 0.9,
            "candidates": (Candidate(plate, confidence), Candidate(likeness, round(1 - confidence, 2))),
            "votes": 6,
            "frames": 8,
            "opened_at": at,
            "first_seen": at,
            "last_seen": at + timedelta(seconds=2),
            "lat": lat,
            "lon": lon,
            "heading": 90.0,
            "speed": 12.5,
            "direction": "approaching",
            "trail": (TrailPoint(at=at, lat=lat, lon=lon),),
            "evidence": _evidence(camera, number, at),
            "model_version": MODEL,
            "emitted_at": at + timedelta(seconds=8),
        }
        self.seen.append(Sighting(**(fields | changes)))
        return self.seen[-1]

    def _traffic(self) -> None:
        """Forty plates at random, by day, Monday to Friday."""
        plates = ["".join(self.dice.choices(_LETTERS, k=3)) + f"{self.dice.randrange(10_000):04d}" for _ in range(40)]
        for _ in range(300):
            at = MONDAY + timedelta(days=self.dice.randrange(5), seconds=self.dice.randrange(6 * 3600, 22 * 3600))
            north, east = self.dice.uniform(-4000, 4000), self.dice.uniform(-4000, 4000)
            self.see(self.dice.randint(1, 5), at, self.dice.choice(plates), north, east)

    def _commuter(self) -> None:
        for day in range(5):
            morning = MONDAY + timedelta(days=day, hours=7, minutes=50 + self.dice.randrange(8))
            self.see(1 + day % 2, morning, "KEX4711", 800.0, 300.0)

    def _convoy(self) -> None:
        """Two cars through five places on Wednesday, 12 seconds apart; a third turns off after two."""
        start = MONDAY + timedelta(days=2, hours=14)
        for stop in range(5):
            at, north = start + timedelta(minutes=6 * stop), 1500.0 * stop - 3000.0
            self.see(1 + stop, at, "NOR1001", north, 2000.0)
            self.see(1 + stop, at + timedelta(seconds=12), "NOR1002", north + 40.0, 2000.0)
            if stop < 2:
                self.see(1 + stop, at + timedelta(seconds=31), "WES2040", north + 90.0, 2000.0)

    def _stories(self) -> None:
        tuesday, thursday = MONDAY + timedelta(days=1), MONDAY + timedelta(days=3)
        met = tuesday + timedelta(hours=17, minutes=30)
        for van, seconds, north in ((2, 0, 0.0), (3, 7, 90.0), (4, 19, 230.0)):
            self.see(van, met + timedelta(seconds=seconds), "MUC7788", north, -500.0)
        self.see(1, thursday + timedelta(hours=9), "DUB1234", 0.0, 0.0)
        self.see(5, thursday + timedelta(hours=9, minutes=4), "DUB1234", 19_000.0, 0.0)
        self.see(2, thursday + timedelta(hours=11), "BOX8021", 500.0, 500.0)
        self.see(3, thursday + timedelta(hours=12), "B0X8O21", 700.0, 500.0, confidence=0.58)
        wrong = {"revision": 2, "status": "withdrawn", "confidence": 0.55}
        at = thursday + timedelta(hours=13)
        right = self.see(4, at, "ABC1238", 900.0, 500.0, revision=4, former_plates=("A8C1238",))
        self.see(4, at, "A8C1238", 900.0, 500.0, **wrong, sighting_id=right.sighting_id)
        self.see(3, thursday + timedelta(hours=16), "STO1E55", -700.0, 250.0, confidence=0.71)

    def _alerts(self) -> Iterator[Alert]:
        by_plate = {one.plate: one for one in self.seen}
        for plate, hotlist, entry, match, probability in (
            ("MUC7788", "wanted", "MUC7788", "exact", 0.97),
            ("NOR1001", "watch", "NOR1*", "pattern", 0.95),
            ("NOR1002", "watch", "NOR1*", "pattern", 0.96),
            ("A8C1238", "wanted", "A8C1238", "exact", 0.55),
        ):
            seen = by_plate[plate]
            yield Alert(
                alert_id=alert_id(hotlist, entry, seen.sighting_id),
                status="withdrawn" if seen.status == "withdrawn" else "raised",
                hotlist_id=hotlist,
                entry=entry,
                plate=plate,
                match=match,  # type: ignore[arg-type]
                match_probability=probability,
                camera_id=seen.camera_id,
                seen_at=seen.opened_at,
                confidence=seen.confidence,
                lat=seen.lat,
                lon=seen.lon,
                heading=seen.heading,
                speed=seen.speed,
                sighting_id=seen.sighting_id,
                revision=seen.revision,
                priority="high" if hotlist == "wanted" else "normal",
                reason="invented",
                emitted_at=seen.opened_at + timedelta(milliseconds=900),
            )


def _evidence(camera: str, number: int, at: datetime) -> Evidence:
    return Evidence(
        seq=25 * number,
        captured_at=at,
        corners=_CORNERS,
        crop_jpeg=b"",
        crop_sha256=hashlib.sha256(f"crop/{camera}/{number}".encode()).hexdigest(),
        frame_sha256=hashlib.sha256(f"frame/{camera}/{number}".encode()).hexdigest(),
        topic="fleet.frames",
        partition=int(camera[-1]),
        offset=1000 + number,
    )


def _reads(seen: Sighting) -> Iterator[FrameReads]:
    """The reads of one sighting, which do not all say the same."""
    opened = round(seen.opened_at.timestamp() * 1000)
    for number, (plate, confidence) in enumerate([("STO1E55", 0.7), ("STOLE55", 0.4), ("STO1E55", 0.8), ("", 0.0)]):
        yield FrameReads(
            camera_id=seen.camera_id,
            seq=seen.evidence.seq + number,
            captured_at=opened + 200 * number,
            published_at=opened + 200 * number + 80,
            width=1280,
            height=720,
            model_version=MODEL,
            frame_partition=3,
            frame_offset=seen.evidence.offset + number,
            frame_sha256="",
            lat=seen.lat,
            lon=seen.lon,
            reads=(
                PlateRead(
                    plate=plate,
                    confidence=confidence,
                    detection_confidence=0.9,
                    box=(100.0, 200.0, 120.0, 32.0),
                    corners=_CORNERS,
                    legibility=0.9 if plate else 0.1,
                    sharpness=90.0,
                ),
            ),
        )


def _cameras() -> Iterator[CameraState]:
    for van in range(1, 7):
        yield CameraState(
            camera_id=f"van-{van}",
            status="silent" if van == 6 else "live",
            last_seq=40_000,
            last_seen=MONDAY + timedelta(days=4, hours=18),
            frames=36_000 if van == 5 else 40_000,
            missing=4_000 if van == 5 else 12,
            reads=0 if van == 6 else 9_000,
            clock_skew_ms=-7_200 if van == 4 else 35,
            luma=6.0 if van == 6 else 110.0,
            lat=_LAT,
            lon=_LON,
            heading=90.0,
            speed=12.5,
            width=1280,
            height=720,
            model_version=MODEL,
            emitted_at=MONDAY + timedelta(days=4, hours=18, seconds=1),
        )


def _entries() -> Sequence[HotlistEntry]:
    def entry(hotlist: str, text: str, priority: str, reason: str) -> HotlistEntry:
        return HotlistEntry(
            hotlist_id=hotlist,
            entry=text,
            priority=priority,  # type: ignore[arg-type]
            reason=reason,
            owner="traffic desk",
            added_at=MONDAY - timedelta(days=10),
            added_by="ann",
        )

    return (
        entry("wanted", "MUC7788", "high", "stolen on 19 February"),
        entry("wanted", "A8C1238", "high", "stolen on 20 February"),
        entry("wanted", "STOLE55", "high", "stolen on 20 February"),
        entry("watch", "NOR1*", "normal", "tours of this firm"),
    )
