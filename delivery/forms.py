"""An alert in the forms that subscribers know: the project's own, OpenALPR's, Plate Recognizer's. Pure.

In: an alert. Out: content type and bytes; None where a form has no word for it (a withdrawal in a foreign form).

What a dash cam cannot know (colour, make, the vehicle's own speed, sizes of the whole picture) is empty, 0 or null.
OpenALPR numbers its cameras: `camera_id` and `camera_number` are a checksum of the camera's name, which never changes.
"""

import base64
import json
import zlib
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from delivery.target import Form, Target
from schemas.alert import Alert
from schemas.codec import encode_json
from schemas.read import Candidate

VERSION = "1"
AGENT = "platefleet"
FORMS_WITHOUT_WITHDRAWALS: frozenset[Form] = frozenset({"openalpr_alert", "openalpr_group", "platerecognizer"})
_BOUNDARY = "platefleet-f6d1c1c0a4d94f8a"

Json = dict[str, Any]


class Body(NamedTuple):
    """What is sent."""

    content_type: str
    data: bytes


def render(alert: Alert, target: Target) -> Body | None:
    """The alert in the target's form."""
    if not target.picture and alert.evidence is not None:
        evidence = msgspec.structs.replace(alert.evidence, crop_jpeg=b"")
        alert = msgspec.structs.replace(alert, evidence=evidence)
    form: Form = target.form
    if form == "platefleet":
        return Body("application/json", encode_json(alert))
    if alert.status == "withdrawn" and form in FORMS_WITHOUT_WITHDRAWALS:
        return None
    if form == "openalpr_group":
        return _json(openalpr_group(alert))
    if form == "openalpr_alert":
        return _json(openalpr_alert(alert))
    return _with_picture(plate_recognizer(alert, target.name), _picture(alert))


def _json(value: Json) -> Body:
    return Body("application/json", json.dumps(value, separators=(",", ":")).encode())


def _picture(alert: Alert) -> bytes:
    return alert.evidence.crop_jpeg if alert.evidence else b""


def camera_number(camera_id: str) -> int:
    """31 bits that stand for a camera's name."""
    return zlib.crc32(camera_id.encode()) & 0x7FFFFFFF


def travel_direction(alert: Alert) -> float | None:
    """Where the vehicle heads, degrees clockwise from north: as the camera, or against it; None when not known."""
    if alert.heading is None or alert.direction == "unknown":
        return None
    return (alert.heading + (180.0 if alert.direction == "approaching" else 0.0)) % 360.0


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def _candidates(alert: Alert) -> tuple[Candidate, ...]:
    return alert.candidates or (Candidate(alert.plate, alert.confidence),)


def openalpr_group(alert: Alert) -> Json:
    """OpenALPR's `alpr_group`: confidences 0 to 100, times in epoch milliseconds, regions in small letters."""
    candidates = [
        {"plate": one.plate, "confidence": _percent(one.confidence), "matches_template": 0}
        for one in _candidates(alert)
    ]
    region, sure = alert.region.lower(), _percent(alert.region_confidence)
    picture = base64.b64encode(_picture(alert)).decode()
    corners = alert.evidence.corners if alert.evidence else ()
    frame = alert.evidence.seq if alert.evidence else 0
    best = {
        "plate": alert.plate,
        "confidence": _percent(alert.confidence),
        "matches_template": 0,
        "plate_index": 0,
        "region": region,
        "region_confidence": sure,
        "processing_time_ms": 0.0,
        "requested_topn": len(candidates),
        "coordinates": [{"x": round(x), "y": round(y)} for x, y in corners],
        "vehicle_region": {"x": 0, "y": 0, "width": 0, "height": 0},
        "plate_crop_jpeg": picture,
        "candidates": candidates,
    }
    return {
        "data_type": "alpr_group",
        "version": 2,
        "epoch_start": _ms(alert.first_seen or alert.seen_at),
        "epoch_end": _ms(alert.seen_at),
        "frame_start": frame,
        "frame_end": frame,
        "camera_id": camera_number(alert.camera_id),
        "agent_uid": AGENT,
        "agent_version": VERSION,
        "agent_type": AGENT,
        "company_id": "",
        "country": region[:2],
        "best_plate_number": alert.plate,
        "best_confidence": _percent(alert.confidence),
        "best_region": region,
        "best_region_confidence": sure,
        "best_uuid": alert.sighting_id,
        "best_image_width": 0,
        "best_image_height": 0,
        "matches_template": 0,
        "uuids": [alert.sighting_id],
        "plate_indexes": [0],
        "candidates": candidates,
        "best_plate": best,
        "vehicle_crop_jpeg": "",
        "vehicle": {name: [] for name in ("color", "make", "make_model", "body_type", "year", "orientation")},
        "travel_direction": travel_direction(alert),
        "is_parked": False,
        "gps_latitude": alert.lat,
        "gps_longitude": alert.lon,
        "user_data": alert.alert_id,
    }


def _percent(probability: float) -> float:
    return round(100.0 * probability, 4)


def openalpr_alert(alert: Alert) -> Json:
    """OpenALPR's `alpr_alert` webhook, with the group inside."""
    return {
        "data_type": "alpr_alert",
        "version": 1,
        "epoch_time": _ms(alert.seen_at),
        "agent_uid": AGENT,
        "camera_name": alert.camera_id,
        "camera_number": camera_number(alert.camera_id),
        "site_name": alert.owner,
        "plate_number": alert.plate,
        "description": alert.reason,
        "alert_list": alert.hotlist_id,
        "list_type": "allow" if alert.match == "unlisted" else "deny",
        "group": openalpr_group(alert),
    }


def plate_recognizer(alert: Alert, target: str) -> Json:
    """Plate Recognizer Stream's webhook: scores 0 to 1, plates and regions in small letters, an upright box."""
    corners = alert.evidence.corners if alert.evidence else ((0.0, 0.0),)
    xs, ys = [round(x) for x, _ in corners], [round(y) for _, y in corners]
    box = {"xmin": min(xs), "ymin": min(ys), "xmax": max(xs), "ymax": max(ys)}
    at = alert.seen_at.astimezone(UTC)
    name = f"{alert.camera_id}_{at:%Y%m%d-%H%M%S}.jpg"
    result = {
        "box": box,
        "plate": alert.plate.lower(),
        "score": alert.confidence,
        "dscore": 1.0,
        "region": {"code": alert.region.lower(), "score": alert.region_confidence},
        "candidates": [{"plate": one.plate.lower(), "score": one.confidence} for one in _candidates(alert)],
        "vehicle": {"type": "Unknown", "score": 0.0, "box": box},
        "model_make": [],
        "color": [],
        "orientation": [],
        "direction": travel_direction(alert),
        "speed": None,
        "speed_score": None,
        "source_url": alert.camera_id,
        "position_sec": None,
        "user_data": json.dumps({"alert_id": alert.alert_id, "list": alert.hotlist_id, "entry": alert.entry}),
    }
    stamp = f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond:06d}Z"
    return {
        "hook": {"target": target, "id": alert.camera_id, "event": "recognition", "filename": name},
        "data": {
            "camera_id": alert.camera_id,
            "filename": name,
            "timestamp": stamp,
            "timestamp_local": stamp,
            "timestamp_camera": stamp,
            "results": [result],
        },
    }


def _with_picture(value: Json, picture: bytes) -> Body:
    """`json` and, where there is one, the picture as `upload`, as multipart/form-data."""
    data = _json(value).data
    parts = [b'Content-Disposition: form-data; name="json"\r\nContent-Type: application/json\r\n\r\n' + data]
    if picture:
        head = (
            b'Content-Disposition: form-data; name="upload"; filename="plate.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
        )
        parts.append(head + picture)
    mark = b"--" + _BOUNDARY.encode()
    body = b"".join(mark + b"\r\n" + part + b"\r\n" for part in parts) + mark + b"--\r\n"
    return Body(f"multipart/form-data; boundary={_BOUNDARY}", body)
