"""The typed messages -> JSON Schema files and one AsyncAPI 3 document, for whoever reads the topics without Python.

    python -m schemas.export            write schemas/json/*.json and schemas/asyncapi.json
    python -m schemas.export --check    say what differs from the types, and fail

The msgspec types and `schemas/topics.py` are the source; these files follow them.
"""

import argparse
import ast
import inspect
import json
import sys
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from schemas.alert import Alert
from schemas.camera import CameraState
from schemas.dead import DeadLetter
from schemas.frame import FrameHeader
from schemas.hotlist import HotlistEntry, HotlistRules, WrongHit
from schemas.read import ReadsMessage
from schemas.sighting import Sighting
from schemas.topics import ALERTS, CAMERAS, DEAD, FRAMES, HOTLIST, READS, SIGHTINGS, TOPICS, Topic

HERE = Path(__file__).resolve().parent
JSON_FOLDER = HERE / "json"
ASYNCAPI_FILE = HERE / "asyncapi.json"
DIALECT = "https://json-schema.org/draft/2020-12/schema"
APPLICATION = frozenset({"cameras", "workers", "streams", "delivery", "fleet", "console"})

Json = dict[str, Any]


@dataclass(frozen=True)
class Message:
    """How one kind of message travels on its topic."""

    name: str
    """File name under `schemas/json`."""
    type: Any
    topic: Topic
    content_type: str
    in_headers: bool = False
    """The type describes the record's headers; the value is opaque bytes."""


MESSAGES: tuple[Message, ...] = (
    Message("sighting", Sighting, SIGHTINGS, "application/json"),
    Message("alert", Alert, ALERTS, "application/json"),
    Message("hotlist_entry", HotlistEntry, HOTLIST, "application/json"),
    Message("hotlist_rules", HotlistRules, HOTLIST, "application/json"),
    Message("hotlist_wrong_hit", WrongHit, HOTLIST, "application/json"),
    Message("camera_state", CameraState, CAMERAS, "application/json"),
    Message("reads", ReadsMessage, READS, "application/msgpack"),
    Message("frame_header", FrameHeader, FRAMES, "application/octet-stream", in_headers=True),
    Message("dead_letter", DeadLetter, DEAD, "application/octet-stream", in_headers=True),
)


def json_schema(message: Message) -> Json:
    """The JSON Schema of one message, with the field descriptions of the types."""
    (root,), parts = _components(message, "#/$defs/{name}")
    head = {"$schema": DIALECT, "$id": f"urn:platefleet:{message.name}", "title": message.name}
    if list(root) == ["$ref"]:
        name = root["$ref"].rpartition("/")[2]
        own: Json = parts.pop(name)
        return head | own | ({"$defs": parts} if parts else {})
    return head | root | {"$defs": parts}


def asyncapi() -> Json:
    """The AsyncAPI 3 document of all topics, seen from the fleet: it sends what its rooms produce."""
    messages: Json = {}
    schemas: Json = {}
    for message in MESSAGES:
        (root,), parts = _components(message, "#/components/schemas/{name}")
        schemas |= parts
        messages[message.name] = _message(message, root)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "platefleet",
            "version": "1",
            "description": "Topics of a fleet of dash cams: frames in, sightings and alerts out. `fleet.sightings` "
            "and `fleet.alerts` are public; the others are the fleet's own.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {_id(topic): _channel(topic) for topic in TOPICS},
        "operations": _operations(),
        "components": {"messages": messages, "schemas": dict(sorted(schemas.items()))},
    }


def _message(message: Message, root: Json) -> Json:
    described: Json = {
        "name": message.name,
        "contentType": message.content_type,
        "bindings": {"kafka": {"key": {"type": "string", "description": message.topic.key}, "bindingVersion": "0.5.0"}},
    }
    if message.in_headers:
        about = "The bytes as they came; their metadata are in the headers, each as UTF-8 text"
        return described | {"headers": root, "payload": {"type": "string", "format": "binary", "description": about}}
    return described | {"payload": root}


def _id(topic: Topic) -> str:
    return topic.name.rpartition(".")[2]


def _channel(topic: Topic) -> Json:
    retention = -1 if topic.retention_ms is None else topic.retention_ms
    names = [message.name for message in MESSAGES if message.topic is topic]
    return {
        "address": topic.name,
        "description": f"{topic.about}. Key: {topic.key}.",
        "tags": [{"name": "public" if topic.public else "internal"}],
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names},
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "partitions": topic.partitions,
                "topicConfiguration": {
                    "cleanup.policy": [topic.cleanup],
                    "retention.ms": retention,
                    "max.message.bytes": topic.max_message_bytes,
                },
                "bindingVersion": "0.5.0",
            }
        },
    }


def _operations() -> Json:
    found: Json = {}
    for topic in TOPICS:
        channel = {"$ref": f"#/channels/{_id(topic)}"}
        for verb, action, rooms in (("send", "send", topic.producers), ("receive", "receive", topic.consumers)):
            own = sorted(APPLICATION & set(rooms))
            if own:
                found[f"{verb}_{_id(topic)}"] = {
                    "action": action,
                    "channel": channel,
                    "summary": f"By {' and '.join(own)}",
                }
    return found


def _components(message: Message, template: str) -> tuple[tuple[Json, ...], Json]:
    """msgspec's schema of the message, with descriptions, time formats and sorted parts."""
    roots, parts = msgspec.json.schema_components([message.type], ref_template=template)
    structs = {one.__name__: one for one in _structs(message.type)}
    for name, part in parts.items():
        _describe(part, structs[name])
    for root in roots:
        root.pop("discriminator", None)  # OpenAPI's word: neither JSON Schema nor AsyncAPI has it in this form
    return tuple(roots), dict(sorted(parts.items()))


def _structs(root: Any) -> list[type[msgspec.Struct]]:
    """Every struct type below `root`."""
    found: dict[str, type[msgspec.Struct]] = {}

    def visit(info: Any) -> None:
        if isinstance(info, msgspec.inspect.StructType):
            if info.cls.__name__ in found:
                return
            found[info.cls.__name__] = info.cls
            for field in info.fields:
                visit(field.type)
        for name in ("types", "item_types"):
            for inner in getattr(info, name, ()):
                visit(inner)
        if getattr(info, "item_type", None) is not None:
            visit(info.item_type)

    visit(msgspec.inspect.type_info(root))
    return list(found.values())


def _describe(part: Json, struct: type[msgspec.Struct]) -> None:
    part["description"] = inspect.cleandoc(struct.__doc__ or "")
    docs = _field_docs(struct)
    hints = {field.encode_name: field.type for field in msgspec.structs.fields(struct)}
    for name, schema in part.get("properties", {}).items():
        if name in docs:
            schema["description"] = docs[name]
        if _holds(hints.get(name), datetime):
            for branch in schema.get("anyOf", [schema]):
                if branch.get("type") == "string":
                    branch["format"] = "date-time"


def _holds(hint: Any, kind: type) -> bool:
    return hint is kind or kind in getattr(hint, "__args__", ())


def _field_docs(struct: type[msgspec.Struct]) -> Mapping[str, str]:
    """The text under each field of a struct's source, on one line."""
    body = ast.parse(textwrap.dedent(inspect.getsource(struct))).body[0]
    assert isinstance(body, ast.ClassDef)
    docs, waiting = {}, ""
    for node in body.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            waiting = node.target.id
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and waiting:
            docs[waiting] = " ".join(str(node.value.value).split())
            waiting = ""
        else:
            waiting = ""
    return docs


def files() -> dict[Path, str]:
    """Every exported file and its text."""
    found = {JSON_FOLDER / f"{message.name}.json": _text(json_schema(message)) for message in MESSAGES}
    return found | {ASYNCAPI_FILE: _text(asyncapi())}


def _text(document: Json) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def drift() -> list[str]:
    """What differs between the files and the types, a line each; empty when nothing does."""
    wanted = files()
    found = [
        f"{path.relative_to(HERE.parent)} {'is missing' if not path.exists() else 'differs from the types'}"
        for path, text in wanted.items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    stray = [path for path in JSON_FOLDER.glob("*.json") if path not in wanted]
    return found + [f"{path.relative_to(HERE.parent)} belongs to no message" for path in stray]


def main(arguments: list[str] | None = None) -> int:
    """Write the files, or with `--check` compare them."""
    parser = argparse.ArgumentParser(prog="schemas.export", description="JSON Schema and AsyncAPI from the types")
    parser.add_argument("--check", action="store_true", help="change nothing; fail when a file is out of date")
    if parser.parse_args(arguments).check:
        lines = drift()
        for line in lines:
            print(f"{line}: run python -m schemas.export", file=sys.stderr)
        return 1 if lines else 0
    JSON_FOLDER.mkdir(exist_ok=True)
    for path, text in files().items():
        path.write_text(text, encoding="utf-8")
        print(path.relative_to(HERE.parent))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
