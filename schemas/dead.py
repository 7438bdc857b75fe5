"""A message that could not be processed: `fleet.dead` holds the offending bytes as they came, this is its headers."""

from datetime import datetime
from typing import Literal

import msgspec

DEAD_SCHEMA = 1

DeadReason = Literal[
    "bad_header",
    "unknown_schema",
    "wrong_sha256",
    "not_an_image",
    "truncated",
    "too_large",
    "bad_video",
    "undecodable",
    "bad_row",
    "bad_value",
    "internal_error",
]


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """Why and whence. The record's value is the original value, its key the original key; the original
    headers follow with the prefix `origin.`, so that a replay can put the record back as it was."""

    schema: int = DEAD_SCHEMA
    dead_id: str
    """UUIDv5 of (stage, topic, partition, offset): the same letter sent twice is one letter."""
    stage: Literal["worker", "tracker", "vehicles", "hotlist", "sink", "delivery"]
    reason: DeadReason
    detail: str
    """One line for a person."""
    origin_topic: str
    origin_partition: int
    origin_offset: int
    trace_id: str
    """`camera_id/seq` where known, else `topic-partition-offset`."""
    at: datetime
