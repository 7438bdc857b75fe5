"""The forms of an alert: every field that existing consumers know, and a signature that they can check."""

import email
import email.policy
import json
from base64 import b64decode
from typing import Any

import pytest

from delivery.forms import FORMS_WITHOUT_WITHDRAWALS, Body, camera_number, render
from delivery.sign import is_signed, signature
from delivery.target import FORMS, Target
from schemas.alert import Alert
from schemas.codec import decode_json
from tests.delivery.places import T, alert


def body(form: str, one: Alert | None = None, **more: Any) -> Body:
    found = render(one or alert(), Target("t", "webhook", "http://x", form=form, **more))  # type: ignore[arg-type]
    assert found is not None
    return found


def test_the_projects_own_form_is_the_message_itself() -> None:
    assert decode_json(body("platefleet").data, Alert) == alert()


def test_openalpr_group() -> None:
    told = json.loads(body("openalpr_group").data)
    assert (told["data_type"], told["best_plate_number"], told["best_confidence"]) == ("alpr_group", "ABC001", 87.5)
    assert (told["epoch_start"], told["epoch_end"]) == (T - 1000, T + 1)
    assert (told["best_region"], told["country"], told["best_region_confidence"]) == ("us-ca", "us", 50.0)
    assert told["candidates"][1] == {"plate": "A8C001", "confidence": 12.5, "matches_template": 0}
    assert told["best_plate"]["coordinates"][0] == {"x": 10, "y": 20}
    assert b64decode(told["best_plate"]["plate_crop_jpeg"]).startswith(b"\xff\xd8")
    assert told["uuids"] == [told["best_uuid"]] == [alert().sighting_id]
    assert told["travel_direction"] == 270.0, "it comes towards a camera that heads east"
    assert (told["gps_latitude"], told["gps_longitude"]) == (52.5, 13.25)
    fields = (
        "data_type version epoch_start epoch_end frame_start frame_end camera_id agent_uid agent_version agent_type "
        "company_id country best_plate_number best_confidence best_region best_region_confidence best_uuid "
        "best_image_width best_image_height matches_template uuids plate_indexes candidates best_plate "
        "vehicle_crop_jpeg vehicle travel_direction is_parked gps_latitude gps_longitude user_data"
    )
    assert set(told) == set(fields.split())


def test_openalpr_alert() -> None:
    told = json.loads(body("openalpr_alert").data)
    fields = (
        "data_type version epoch_time agent_uid camera_name camera_number site_name plate_number description "
        "alert_list list_type group"
    )
    assert set(told) == set(fields.split())
    assert (told["data_type"], told["alert_list"], told["list_type"]) == ("alpr_alert", "stolen", "deny")
    assert told["camera_number"] == told["group"]["camera_id"] == camera_number("cam-1")
    assert json.loads(body("openalpr_alert", alert(match="unlisted", entry="")).data)["list_type"] == "allow"


def parts(found: Body) -> dict[str, bytes]:
    """What a web framework makes of multipart/form-data."""
    head = f"Content-Type: {found.content_type}\r\n\r\n".encode()
    message = email.message_from_bytes(head + found.data, policy=email.policy.HTTP)
    return {
        str(part.get_param("name", header="content-disposition")): part.get_payload(decode=True)  # type: ignore[misc]
        for part in message.iter_parts()  # type: ignore[attr-defined]
    }


def test_plate_recognizer() -> None:
    found = parts(body("platerecognizer"))
    told = json.loads(found["json"])
    assert found["upload"].startswith(b"\xff\xd8")
    assert told["hook"] == {
        "target": "t", "id": "cam-1", "event": "recognition", "filename": "cam-1_20260528-202640.jpg"
    }  # fmt: skip
    assert set(told["data"]) == {
        "camera_id", "filename", "timestamp", "timestamp_local", "timestamp_camera", "results"
    }  # fmt: skip
    (result,) = told["data"]["results"]
    assert (result["plate"], result["score"]) == ("abc001", 0.875)
    assert result["box"] == {"xmin": 9, "ymin": 20, "xmax": 110, "ymax": 50}
    assert result["region"] == {"code": "us-ca", "score": 0.5}
    assert json.loads(result["user_data"])["alert_id"] == alert().alert_id
    assert set(parts(body("platerecognizer", picture=False))) == {"json"}


@pytest.mark.parametrize("form", FORMS)
def test_without_position_evidence_or_heading(form: str) -> None:
    bare = alert(lat=None, lon=None, heading=None, evidence=None, first_seen=None, candidates=(), direction="unknown")
    assert b"ABC001" in body(form, bare).data.upper()


@pytest.mark.parametrize("form", FORMS)
def test_a_withdrawal_is_told_where_there_is_a_word_for_it(form: str) -> None:
    target = Target("t", "webhook", "http://x", form=form)  # type: ignore[arg-type]
    assert (render(alert(status="withdrawn"), target) is None) == (form in FORMS_WITHOUT_WITHDRAWALS)


def test_a_picture_can_be_left_out() -> None:
    assert b"crop_jpeg" not in body("platefleet", picture=False).data.replace(b'"crop_jpeg":""', b"")
    assert json.loads(body("openalpr_alert", picture=False).data)["group"]["best_plate"]["plate_crop_jpeg"] == ""


def test_a_signature_is_of_secret_time_and_body() -> None:
    given = signature("s3cret", 1000, b"body")
    assert given == "sha256=d3e67cef79f8ad2d543cbee2c8da0c678bd43559ac67b01ac312b7ba5dbed784"
    assert is_signed("s3cret", "1000", b"body", given, now=1100.0)
    assert not is_signed("other", "1000", b"body", given, now=1100.0)
    assert not is_signed("s3cret", "1001", b"body", given, now=1100.0)
    assert not is_signed("s3cret", "1000", b"bodY", given, now=1100.0)
    assert not is_signed("s3cret", "1000", b"body", given, now=1301.0), "sent again later"
    assert not is_signed("s3cret", "now", b"body", given, now=1000.0)
