"""The topics as a page. In: `schemas.topics.TOPICS`. Out: docs/topics.md, which a test holds to them."""

import sys
from pathlib import Path

from schemas.export import MESSAGES
from schemas.topics import HOUR_MS, TOPICS, Topic

_HEAD = """# Topics

Written by `make docs` from `schemas/topics.py`; a test holds the two together.

`platefleet topics` and `platefleet up` create those that are missing. Keys are UTF-8. `PLATEFLEET_PARTITIONS` says
another number than 8 when a topic is created. Who writes and reads is named by folder of the repository; a subscriber
is whoever listens. A public topic is for everybody, and a change to it is in the [changelog](../CHANGELOG.md); the
others are the fleet's own. All messages in one document: [AsyncAPI](../schemas/asyncapi.json).

"""
_TABLE = "| topic | key | partitions | kept | message at most | written by | read by | public |\n" + "|---" * 8 + "|\n"


def _kept(topic: Topic) -> str:
    if topic.retention_ms is None:
        return "for ever, the newest message of a key" if topic.cleanup == "compact" else "for ever"
    hours = topic.retention_ms // HOUR_MS
    return f"{hours} hours" if hours <= 72 else f"{hours / 24:g} days"


def _row(topic: Topic) -> str:
    cells = (
        f"`{topic.name}`",
        topic.key,
        str(topic.partitions),
        _kept(topic),
        f"{topic.max_message_bytes >> 20} MiB",
        ", ".join(topic.producers),
        ", ".join(topic.consumers),
        "yes" if topic.public else "no",
    )
    return f"| {' | '.join(cells)} |"


def _messages(topic: Topic) -> str:
    found = [
        f"[{one.name}](../schemas/json/{one.name}.json) ({'in the headers' if one.in_headers else one.content_type})"
        for one in MESSAGES
        if one.topic is topic
    ]
    return f"- `{topic.name}`: {topic.about}. Schema: {', '.join(found) or 'none, nothing sends it yet'}."


def topics_page() -> str:
    """The page as Markdown."""
    return _HEAD + _TABLE + "\n".join(map(_row, TOPICS)) + "\n\n" + "\n".join(map(_messages, TOPICS)) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(topics_page(), encoding="utf-8")
