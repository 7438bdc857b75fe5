"""What the streams can be told: small frozen settings, filled by whoever starts them."""

from dataclasses import dataclass, field
from pathlib import Path

from plumbing.kafka_admin import NO_SECURITY, KafkaSecurity
from schemas.topics import ALERTS, CAMERAS, DEAD, HOTLIST, READS, SIGHTINGS

ROLES = ("tracker", "vehicles", "sink")


@dataclass(frozen=True, slots=True)
class TrackerSettings:
    """When reads are one sighting, and when a sighting is told. Times in seconds of event time."""

    gap_s: float = 5.0
    """A pause longer than this makes a new sighting."""
    keep_s: float = 60.0
    """How long a closed sighting still takes late frames."""
    max_jump_m: float = 400.0
    """A camera that has moved further than this since the last read is elsewhere: a new sighting."""
    min_length: int = 3
    """Texts shorter than this are no plates."""
    max_length: int = 16
    """Texts longer than this are no plates."""
    agree_reads: int = 2
    """So many reads that agree to the letter open a sighting."""
    agree_confidence: float = 0.4
    """... when the vote is at least this sure."""
    sure_confidence: float = 0.85
    """A single read this sure opens a sighting at once."""
    keep_confidence: float = 0.4
    """A single read this sure is kept when its track closes."""
    lone_length: int = 5
    """A shorter text takes more than one read of it: seen once, it is more often the end of a plate half hidden."""
    keep_likeness: float = 0.7
    """Several reads that are unsure, but this much like the vote on average, are kept when their track closes."""
    keep_least: float = 0.15
    """... and the vote is at least this sure: what is right less than once in seven times is no sighting."""
    still_confidence: float = 0.5
    """A single read of a still picture this sure is a sighting."""
    update_s: float = 1.0
    """Least time between two revisions of an open sighting."""
    max_ahead_s: float = 86_400.0
    """A camera clock further ahead of the broker's than this is corrected."""
    earliest_ms: int = 946_684_800_000
    """A camera clock before this (the year 2000) is corrected."""


@dataclass(frozen=True, slots=True)
class MatchSettings:
    """When a sighting meets a hotlist entry."""

    candidate_threshold: float = 0.1
    """Least probability of a candidate that makes an alert; 1.0 switches candidate matches off."""


@dataclass(frozen=True, slots=True)
class Topics:
    """Names of the topics; another set lets tests share a broker."""

    reads: str = READS.name
    sightings: str = SIGHTINGS.name
    alerts: str = ALERTS.name
    hotlist: str = HOTLIST.name
    cameras: str = CAMERAS.name
    dead: str = DEAD.name


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """All that a streams process needs."""

    brokers: str
    """`host:port`, several separated by commas."""
    data_dir: Path
    """Folder where Faust may write; made when missing."""
    store_url: str = ""
    """As `store.open_store` takes it; needed by the sink."""
    app_id: str = "platefleet"
    """Each role is the consumer group `<app_id>-<role>`."""
    instance_id: str = "streams-0"
    """Unique per process and the same after a restart: its partitions wait for it."""
    roles: tuple[str, ...] = ROLES
    topics: Topics = field(default_factory=Topics)
    tracker: TrackerSettings = field(default_factory=TrackerSettings)
    match: MatchSettings = field(default_factory=MatchSettings)
    silence_s: float = 6.0
    """Wall-clock seconds without a frame after which a camera's open sightings are closed."""
    batch: int = 4000
    """Most messages that one turn of an agent takes. A turn writes the whole state of each key once: the longer it is,
    the less a message costs. While it is applied, tenths of a second for this many, the process does nothing else."""
    flush_rows: int = 50_000
    flush_s: float = 1.0
    """The sink inserts what has come, at once after a pause, else `flush_s` after it took what it inserted last. Of a
    topic it collects at most `flush_rows` messages, or 160 MiB of them, in that time."""
    camera_keep_s: float = 259_200.0
    """How long the state of a camera, its last passes with their crops, is kept after its last frame (wall clock):
    longer than a vehicle stands still over a weekend."""
    vehicle_keep_s: float = 86_400.0
    """How long the state of a plate is kept after its last sighting (wall clock); longer while a cool-down runs."""
    vehicle_max: int = 1_000_000
    """Most plates in state; the longest unseen go first."""
    dead_per_minute: int = 6_000
    """More dead letters than this in a minute stop the process: something other than the messages is wrong."""
    session_timeout_s: float = 8.0
    heartbeat_s: float = 1.0
    commit_interval_s: float = 0.5
    linger_ms: int = 5
    replication: int = 1
    """Replicas of the changelog topics."""
    security: KafkaSecurity = NO_SECURITY
    """How to log on to the cluster."""
    web_port: int = 0
    """0: no web server."""

    def __post_init__(self) -> None:
        unknown = set(self.roles) - set(ROLES)
        if unknown or not self.roles:
            raise ValueError(f"roles {self.roles!r}: want one or more of {', '.join(ROLES)}")
        if "sink" in self.roles and not self.store_url:
            raise ValueError("store_url is not set: the sink needs to know where ClickHouse is")
