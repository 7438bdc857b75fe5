"""Every topic once: name, key, partitions, retention, clean-up, who writes and who reads it."""

from typing import Literal

import msgspec

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


class Topic(msgspec.Struct, frozen=True, kw_only=True):
    """One topic of the fleet."""

    name: str
    about: str
    key: str
    """Which field the record key holds, UTF-8."""
    partitions: int
    retention_ms: int | None
    """None: kept forever."""
    cleanup: Literal["delete", "compact"]
    max_message_bytes: int = 1 << 20
    public: bool = False
    producers: tuple[str, ...]
    consumers: tuple[str, ...]

    def config(self) -> dict[str, str]:
        """The broker's settings for this topic."""
        return {
            "cleanup.policy": self.cleanup,
            "retention.ms": str(-1 if self.retention_ms is None else self.retention_ms),
            "max.message.bytes": str(self.max_message_bytes),
        }


FRAME_MAX_BYTES = 8 << 20

FRAMES = Topic(
    name="fleet.frames",
    about="Compressed frames as the cameras made them; metadata in headers (FrameHeader)",
    key="camera_id",
    partitions=8,
    retention_ms=72 * HOUR_MS,
    cleanup="delete",
    max_message_bytes=FRAME_MAX_BYTES,
    producers=("cameras",),
    consumers=("workers",),
)
READS = Topic(
    name="fleet.reads",
    about="What was read in each frame (FrameReads), and the timer's close commands (CloseTracks)",
    key="camera_id",
    partitions=8,
    retention_ms=24 * HOUR_MS,
    cleanup="delete",
    max_message_bytes=4 << 20,
    producers=("workers", "streams"),
    consumers=("streams",),
)
SIGHTINGS = Topic(
    name="fleet.sightings",
    about="One vehicle, one camera, one pass: provisional, improved, final",
    key="plate",
    partitions=8,
    retention_ms=7 * DAY_MS,
    cleanup="delete",
    public=True,
    producers=("streams",),
    consumers=("streams", "fleet", "subscribers"),
)
ALERTS = Topic(
    name="fleet.alerts",
    about="One message per hotlist entry and sighting",
    key="plate",
    partitions=8,
    retention_ms=7 * DAY_MS,
    cleanup="delete",
    public=True,
    producers=("streams", "fleet"),
    consumers=("streams", "delivery", "fleet", "subscribers"),
)
HOTLIST = Topic(
    name="fleet.hotlist",
    about="Hotlist entries, the rules of a list, wrong hits; a null value removes one",
    key="hotlist_id/entry, hotlist_id/ for the rules, hotlist_id/entry/plate for a wrong hit",
    partitions=1,
    retention_ms=None,
    cleanup="compact",
    producers=("fleet", "console"),
    consumers=("streams", "fleet"),
)
CAMERAS = Topic(
    name="fleet.cameras",
    about="State and health of each camera",
    key="camera_id",
    partitions=1,
    retention_ms=None,
    cleanup="compact",
    producers=("streams",),
    consumers=("streams", "console"),
)
MODELS = Topic(
    name="fleet.models",
    about="Which model version the workers run",
    key="model",
    partitions=1,
    retention_ms=None,
    cleanup="compact",
    producers=("fleet",),
    consumers=("workers",),
)
DEAD = Topic(
    name="fleet.dead",
    about="Messages that could not be processed, as they came, with reason and origin in headers (DeadLetter)",
    key="origin key",
    partitions=1,
    retention_ms=14 * DAY_MS,
    cleanup="delete",
    max_message_bytes=FRAME_MAX_BYTES + (1 << 20),
    producers=("workers", "streams", "delivery"),
    consumers=("streams", "fleet"),
)

TOPICS: tuple[Topic, ...] = (FRAMES, READS, SIGHTINGS, ALERTS, HOTLIST, CAMERAS, MODELS, DEAD)
