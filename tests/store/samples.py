"""Messages for the store's tests; every plate is invented."""

from datetime import UTC, datetime, timedelta
from typing import Any

from schemas.alert import Alert
from schemas.camera import CameraState
from schemas.dead import DeadLetter
from schemas.ids import alert_id, dead_id, sighting_id
from schemas.read import Candidate, FrameReads, PlateRead
from schemas.sighting import Evidence, Sighting, TrailPoint

T0 = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
CORNERS = ((10.0, 20.0), (110.0, 21.0), (111.0, 50.0), (9.0, 49.0))


def sighting(number: int = 1, **changes: Any) -> Sighting:
    """The sighting that frame `number` of camera cam-1 opened."""
    at = changes.pop("at", T0 + timedelta(seconds=number))
    plate = changes.pop("plate", f"TEST{number:03d}")
    camera = changes.pop("camera_id", "cam-1")
    fields: dict[str, Any] = {
        "sighting_id": sighting_id(camera, number, 0),
        "revision": 1,
        "status": "provisional",
        "camera_id": camera,
        "plate": plate,
        "confidence": 0.875,
        "region": "DE",
        "region_confidence": 0.5,
        "candidates": (Candidate(plate, 0.875), Candidate("TE5T", 0.125)),
        "votes": 3,
        "frames": 4,
        "opened_at": at,
        "first_seen": at,
        "last_seen": at + timedelta(milliseconds=800),
        "lat": 52.5,
        "lon": 13.25,
        "heading": 90.0,
        "speed": 12.5,
        "direction": "approaching",
        "trail": (TrailPoint(at=at, lat=52.5, lon=13.25),),
        "evidence": Evidence(
            seq=number,
            captured_at=at,
            corners=CORNERS,
            crop_jpeg=b"\xff\xd8\xff\xe0crop",
            crop_sha256="c" * 64,
            frame_sha256="f" * 64,
            topic="fleet.frames",
            partition=3,
            offset=1000 + number,
        ),
        "model_version": "model-1",
        "emitted_at": at + timedelta(seconds=1),
    }
    return Sighting(**(fields | changes))


def alert(number: int = 1, **changes: Any) -> Alert:
    """An alert on `sighting(number)`."""
    seen = sighting(number)
    fields: dict[str, Any] = {
        "alert_id": alert_id("stolen", seen.plate, seen.sighting_id),
        "status": "raised",
        "hotlist_id": "stolen",
        "entry": seen.plate,
        "plate": seen.plate,
        "match": "exact",
        "match_probability": 0.875,
        "camera_id": seen.camera_id,
        "seen_at": seen.opened_at,
        "confidence": 0.875,
        "lat": 52.5,
        "lon": 13.25,
        "heading": None,
        "speed": None,
        "sighting_id": seen.sighting_id,
        "revision": 1,
        "priority": "high",
        "reason": "invented",
        "emitted_at": seen.emitted_at,
    }
    return Alert(**(fields | changes))


def camera(**changes: Any) -> CameraState:
    """A camera's state."""
    fields: dict[str, Any] = {
        "camera_id": "cam-1",
        "status": "live",
        "last_seq": 40,
        "last_seen": T0,
        "frames": 41,
        "missing": 0,
        "reads": 12,
        "clock_skew_ms": -15,
        "luma": 101.5,
        "lat": 52.5,
        "lon": 13.25,
        "heading": 90.0,
        "speed": 12.5,
        "width": 1280,
        "height": 720,
        "model_version": "model-1",
        "emitted_at": T0,
    }
    return CameraState(**(fields | changes))


def plate_read(**changes: Any) -> PlateRead:
    """One plate of a frame."""
    fields: dict[str, Any] = {
        "plate": "TEST001",
        "confidence": 0.875,
        "detection_confidence": 0.75,
        "box": (9.0, 20.0, 102.0, 30.0),
        "corners": CORNERS,
        "candidates": (Candidate("TEST001", 0.875),),
        "region": "DE",
        "region_confidence": 0.5,
        "sharpness": 120.5,
        "crop_jpeg": b"\xff\xd8",
    }
    return PlateRead(**(fields | changes))


def frame_reads(**changes: Any) -> FrameReads:
    """A frame with one plate."""
    fields: dict[str, Any] = {
        "camera_id": "cam-1",
        "seq": 7,
        "captured_at": 1_772_366_400_123,
        "published_at": 1_772_366_400_200,
        "width": 1280,
        "height": 720,
        "model_version": "model-1",
        "frame_partition": 3,
        "frame_offset": 1007,
        "frame_sha256": "f" * 64,
        "lat": 52.5,
        "lon": 13.25,
        "luma": 101.5,
        "reads": (plate_read(),),
    }
    return FrameReads(**(fields | changes))


def dead(**changes: Any) -> DeadLetter:
    """A dead letter of the worker."""
    fields: dict[str, Any] = {
        "dead_id": dead_id("worker", "fleet.frames", 0, 5),
        "stage": "worker",
        "reason": "not_an_image",
        "detail": "no JPEG marker",
        "origin_topic": "fleet.frames",
        "origin_partition": 0,
        "origin_offset": 5,
        "trace_id": "cam-1/5",
        "at": T0,
    }
    return DeadLetter(**(fields | changes))
