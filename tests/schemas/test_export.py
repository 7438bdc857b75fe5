"""The exported documents: no drift from the types, and of the shape that their readers expect."""

import json
from pathlib import Path

import jsonschema
import pytest

from fleet import errors
from schemas import export
from schemas.topics import ALERTS, DEAD, HOTLIST, SIGHTINGS, TOPICS, Topic
from schemas.topics_page import topics_page

ROOT = Path(__file__).resolve().parents[2]


def test_the_files_are_those_of_the_types() -> None:
    assert export.drift() == []
    assert export.main(["--check"]) == 0


def test_the_page_is_what_the_topics_say() -> None:
    assert (ROOT / "docs" / "topics.md").read_text(encoding="utf-8") == topics_page()


def test_drift_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(export, "HERE", tmp_path / "schemas")
    monkeypatch.setattr(export, "JSON_FOLDER", tmp_path / "schemas" / "json")
    monkeypatch.setattr(export, "ASYNCAPI_FILE", tmp_path / "schemas" / "asyncapi.json")
    (tmp_path / "schemas").mkdir()
    assert export.main([]) == 0
    (tmp_path / "schemas" / "json" / "alert.json").write_text("{}")
    (tmp_path / "schemas" / "json" / "sighting.json").unlink()
    (tmp_path / "schemas" / "json" / "left_over.json").write_text("{}")
    assert export.main(["--check"]) == 1
    said = capsys.readouterr().err
    assert "schemas/json/alert.json differs from the types" in said
    assert "schemas/json/sighting.json is missing" in said
    assert "schemas/json/left_over.json belongs to no message" in said


@pytest.mark.parametrize("message", export.MESSAGES, ids=lambda message: message.name)
def test_each_schema_is_one(message: export.Message) -> None:
    document = export.json_schema(message)
    jsonschema.Draft202012Validator.check_schema(document)
    assert document["$schema"] == export.DIALECT


def test_fields_are_described_and_times_are_times() -> None:
    alert = export.json_schema(next(one for one in export.MESSAGES if one.name == "alert"))
    assert alert["properties"]["match"]["description"].startswith("How the entry met the sighting")
    assert alert["properties"]["seen_at"]["format"] == "date-time"
    hotlist = export.json_schema(next(one for one in export.MESSAGES if one.name == "hotlist_entry"))
    assert {"type": "string", "format": "date-time"} in hotlist["properties"]["valid_until"]["anyOf"]


@pytest.mark.parametrize(
    "field", ["alert_id", "hotlist_id", "entry", "plate", "match", "camera_id", "seen_at", "confidence"]
)
def test_an_alert_always_has_what_is_promised(field: str) -> None:
    alert = export.json_schema(next(one for one in export.MESSAGES if one.name == "alert"))
    assert field in alert["required"]


def test_asyncapi_has_every_topic_and_no_loose_end() -> None:
    document = export.asyncapi()
    assert document["asyncapi"] == "3.0.0"
    assert [channel["address"] for channel in document["channels"].values()] == [topic.name for topic in TOPICS]
    for topic, channel in zip(TOPICS, document["channels"].values(), strict=True):
        assert channel["bindings"]["kafka"]["partitions"] == topic.partitions
    for operation in document["operations"].values():
        assert operation["action"] in ("send", "receive")
    for reference in _references(document):
        at = document
        for part in reference.removeprefix("#/").split("/"):
            at = at[part]
        assert isinstance(at, dict)


def test_every_room_that_is_told_of_a_topic_is_the_fleets_own() -> None:
    told = {room for topic in TOPICS for room in (*topic.producers, *topic.consumers)}
    assert told - {"subscribers"} == export.APPLICATION
    assert set(errors._ROOMS) >= export.APPLICATION


@pytest.mark.parametrize(
    ("topic", "producers", "consumers"),
    [
        (SIGHTINGS, {"streams"}, {"streams", "fleet", "subscribers"}),
        (ALERTS, {"streams", "fleet"}, {"streams", "delivery", "fleet", "subscribers"}),
        (HOTLIST, {"fleet", "console"}, {"streams", "fleet"}),
        (DEAD, {"workers", "streams", "delivery"}, {"streams", "fleet"}),
    ],
    ids=lambda value: value.name if isinstance(value, Topic) else "",
)
def test_who_writes_and_who_reads(topic: Topic, producers: set[str], consumers: set[str]) -> None:
    assert (set(topic.producers), set(topic.consumers)) == (producers, consumers)


def _references(node: object) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [one for value in node.values() for one in _references(value)]
    return [one for value in node for one in _references(value)] if isinstance(node, list) else []


def test_the_committed_document_is_json() -> None:
    assert json.loads(export.ASYNCAPI_FILE.read_text(encoding="utf-8"))["info"]["title"] == "platefleet"
