"""Every message ever sent, of every version: today's code must read it, and the exported schema must know it."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from schemas.alert import Alert
from schemas.camera import CameraState
from schemas.codec import (
    decode_dead,
    decode_frame_header,
    decode_json,
    decode_reads,
    encode_dead,
    encode_frame_header,
    encode_json,
    encode_reads,
)
from schemas.export import JSON_FOLDER, MESSAGES
from schemas.hotlist import HotlistEntry, HotlistRules, WrongHit
from schemas.sighting import Sighting
from schemas.topics import TOPICS

EXAMPLES = Path(__file__).resolve().parents[2] / "schemas" / "examples"
JSON_TYPES = {
    "fleet.sightings": Sighting,
    "fleet.alerts": Alert,
    "fleet.hotlist": HotlistEntry,
    "fleet.cameras": CameraState,
}
BY_PREFIX = {"rules_": HotlistRules, "wrong_": WrongHit}
"""Other messages than the topic's first, by how their examples' names begin."""

JSON_FILES = sorted(path for topic in JSON_TYPES for path in (EXAMPLES / topic).glob("*/*.json"))
READS = sorted((EXAMPLES / "fleet.reads").glob("*/*.msgpack"))
FRAMES = sorted((EXAMPLES / "fleet.frames").glob("*/*.bin"))
DEAD = sorted((EXAMPLES / "fleet.dead").glob("*/*.bin"))


def short(path: Path) -> str:
    return str(path.relative_to(EXAMPLES))


def headers_of(path: Path) -> list[tuple[str, bytes]]:
    pairs = json.loads(path.with_suffix(".headers.json").read_text(encoding="utf-8"))
    return [(name, value.encode()) for name, value in pairs]


def type_of(path: Path) -> Any:
    prefix = next((prefix for prefix in BY_PREFIX if path.name.startswith(prefix)), None)
    return BY_PREFIX[prefix] if prefix else JSON_TYPES[path.parents[1].name]


def schema(of: Any) -> Any:
    name = next(message.name for message in MESSAGES if message.type is of)
    return json.loads((JSON_FOLDER / f"{name}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", JSON_FILES, ids=short)
def test_json_is_read_and_known_to_its_schema(path: Path) -> None:
    kind = type_of(path)
    message = decode_json(path.read_bytes(), kind)
    jsonschema.validate(
        json.loads(path.read_bytes()), schema(kind), format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    )
    assert decode_json(encode_json(message), kind) == message


@pytest.mark.parametrize("path", JSON_FILES, ids=short)
def test_what_is_sent_today_is_known_to_the_schema_too(path: Path) -> None:
    kind = type_of(path)
    sent = encode_json(decode_json(path.read_bytes(), kind))
    jsonschema.validate(json.loads(sent), schema(kind))


@pytest.mark.parametrize("path", READS, ids=short)
def test_reads_are_read(path: Path) -> None:
    message = decode_reads(path.read_bytes())
    assert decode_reads(encode_reads(message)) == message


@pytest.mark.parametrize("path", FRAMES, ids=short)
def test_frame_headers_are_read(path: Path) -> None:
    headers = headers_of(path)
    message = decode_frame_header(headers)
    assert encode_frame_header(message) == headers


@pytest.mark.parametrize("path", DEAD, ids=short)
def test_dead_letters_are_read_with_what_they_hold(path: Path) -> None:
    headers = headers_of(path)
    letter, origin = decode_dead(headers)
    assert encode_dead(letter, origin) == headers
    assert decode_frame_header(origin).seq == 7


def test_every_topic_with_a_message_has_examples_and_no_other() -> None:
    found = {path.name for path in EXAMPLES.iterdir()}
    assert found == {message.topic.name for message in MESSAGES}
    assert found <= {topic.name for topic in TOPICS}


def test_every_message_in_json_has_an_example() -> None:
    assert {type_of(path) for path in JSON_FILES} == {
        message.type for message in MESSAGES if message.content_type == "application/json"
    }


def test_every_example_is_read_by_a_test() -> None:
    read = {*JSON_FILES, *READS, *FRAMES, *DEAD, *(path.with_suffix(".headers.json") for path in (*FRAMES, *DEAD))}
    assert {path for path in EXAMPLES.rglob("*") if path.is_file()} == read
