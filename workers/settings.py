"""Settings of the workers: a frozen record that `fleet/settings.py` fills; nothing here reads the environment."""

import math
from dataclasses import dataclass, field
from pathlib import Path

from plumbing.kafka_admin import NO_SECURITY, KafkaSecurity

PIPELINE_FACTORY = "workers.pipelines:plate_pipeline"
"""`module:function` that a reader actor calls with its ReaderSettings to get its pipeline."""


class SettingsError(ValueError):
    """A setting is out of range, or contradicts another; the text names it."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one record may demand of a reader."""

    max_pixels: int = 40_000_000
    """Largest picture, width times height; checked before memory is taken for it."""
    max_pictures: int = 600
    """Longest H.264 group."""
    chunk_pictures: int = 16
    """Pictures that are decoded and read together."""
    chunk_pixels: int = 40_000_000
    """A chunk ends early at so many pixels: bounds the memory of a reader."""


@dataclass(frozen=True, slots=True)
class ReaderSettings:
    """What a reader actor must know to start."""

    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    precision: str = "auto"
    """auto, fp32, bf16 or fp16."""
    engine: str = "auto"
    """auto, torch, onnx, onnx-int8 or openvino."""
    cache_dir: Path | None = None
    """Folder that keeps which engine was found quickest; None: it is measured at each start."""
    threads: int = 1
    """Threads of the networks and of OpenCV in one reader."""
    detector: str = "default"
    detector_tiles: int | None = None
    """Size of the detector's input in tiles of 32 x 32; None: its own."""
    reader: str = "default"
    factory: str = PIPELINE_FACTORY
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """One worker process: a feeder, its readers and its emitter."""

    brokers: str
    group: str = "platefleet-workers"
    instance_id: str | None = None
    """Stable name of this member over restarts: it gets its partitions back without a rebalance."""
    security: KafkaSecurity = NO_SECURITY
    readers: int = 1
    """Reader actors; see `readers_for`."""
    num_gpus: float | None = None
    """GPUs per reader: 0, a fraction, or a whole number. None: a fair share of what the Ray cluster has."""
    reader: ReaderSettings = field(default_factory=ReaderSettings)
    batch_frames: int = 16
    """Pictures per batch at most."""
    batch_bytes: int = 16 << 20
    """Compressed bytes per batch at most; a larger record travels alone."""
    batch_wait_ms: int = 20
    """How long the oldest frame waits for company when a reader is free."""
    max_in_flight: int = 128
    """Records taken from Kafka and not yet acknowledged, at most; partitions are paused beyond."""
    max_in_flight_bytes: int = 256 << 20
    """The same in bytes; may be passed by what one poll brings."""
    commit_every_ms: int = 500
    drain_seconds: float = 3.0
    """How long the end waits for batches that are being read."""
    ray_address: str | None = None
    """None: a Ray of its own on this machine. Else `host:port` or `auto`."""
    object_store_bytes: int = 128 << 20
    """Of its own Ray; it takes no less than 75 MiB."""
    ray_metrics_port: int | None = None
    """Ray's own metrics in Prometheus' format; None: a port that Ray chooses."""
    metrics_port: int | None = None
    """This worker's metrics in Prometheus' format; 0: a free port, None: not served."""
    metrics_host: str = "127.0.0.1"
    frames_topic: str = "fleet.frames"
    reads_topic: str = "fleet.reads"
    dead_topic: str = "fleet.dead"

    def __post_init__(self) -> None:
        at_least_one = {
            "readers": self.readers,
            "batch_frames": self.batch_frames,
            "batch_bytes": self.batch_bytes,
            "max_in_flight": self.max_in_flight,
            "max_in_flight_bytes": self.max_in_flight_bytes,
            "commit_every_ms": self.commit_every_ms,
            "reader.threads": self.reader.threads,
        }
        for name, value in at_least_one.items():
            if value < 1:
                raise SettingsError(f"{name} is {value}, it must be at least 1")
        if self.batch_wait_ms < 0:
            raise SettingsError(f"batch_wait_ms is {self.batch_wait_ms}, it must not be negative")
        if self.num_gpus is not None and not _is_gpu_request(self.num_gpus):
            raise SettingsError(f"num_gpus is {self.num_gpus}, it must be 0, a fraction below 1, or a whole number")
        if self.max_in_flight < self.batch_frames:
            raise SettingsError(
                f"max_in_flight ({self.max_in_flight}) is smaller than batch_frames ({self.batch_frames}): "
                "no batch would ever be full"
            )


def _is_gpu_request(value: float) -> bool:
    return math.isfinite(value) and value >= 0 and (value < 1 or value == int(value))


def readers_for(cores: int, *, realtime: bool) -> tuple[int, int]:
    """(readers, threads per reader) for a machine whose other cores run Kafka, the streams and the store.

    Readers of one thread each beat one reader of many threads, as no time goes into joining threads; in real
    time one core is left to everything else, which keeps the latency low.
    """
    spare = 1 if realtime or cores > 4 else 0
    return max(1, cores - spare), 1
