"""Settings to the small objects that the rooms take. In: `Settings`. Out: what Kafka, workers and streams want."""

import os
from dataclasses import fields
from typing import TYPE_CHECKING

from delivery.settings import DeliverySettings
from fleet.settings import Settings
from plumbing.kafka_admin import KafkaSecurity
from schemas.topics import ALERTS, FRAMES, READS, SIGHTINGS
from store.retention import Retention
from streams.settings import MatchSettings, StreamSettings, TrackerSettings
from workers.settings import Limits, ReaderSettings, WorkerSettings, readers_for

if TYPE_CHECKING:
    from vision.pipeline import PlatePipeline


def cores(settings: Settings) -> int:
    """Processor cores that platefleet uses."""
    return settings.threads or len(os.sched_getaffinity(0))


def kafka_security(settings: Settings) -> KafkaSecurity:
    """How to log on to Kafka."""

    def text(value: object) -> str | None:
        return None if value is None else str(value)

    return KafkaSecurity(
        protocol=settings.kafka_protocol,
        mechanism=settings.kafka_mechanism,
        username=settings.kafka_username,
        password=settings.kafka_password.get_secret_value() if settings.kafka_password else None,
        ca_file=text(settings.kafka_ca_file),
        certificate_file=text(settings.kafka_certificate_file),
        key_file=text(settings.kafka_key_file),
    )


def load_pipeline(settings: Settings) -> "PlatePipeline":
    """The networks in this process, on all cores; raises `ModelError` and `DeviceError`."""
    # torch takes seconds and 350 MB: only who reads plates pays that
    from vision.pipeline import PlatePipeline

    return PlatePipeline.load(
        settings.device,
        settings.precision,
        cores(settings),
        settings.detector,
        settings.reader,
        engine=settings.engine,
        cache=settings.cache_dir,
        tiles=settings.detector_tiles,
    )


def topic_partitions(settings: Settings) -> dict[str, int]:
    """Partitions of the topics whose number is a setting; empty: as in the topic table."""
    if settings.partitions is None:
        return {}
    return dict.fromkeys((topic.name for topic in (FRAMES, READS, SIGHTINGS, ALERTS)), settings.partitions)


def retention(settings: Settings) -> Retention:
    """How long the store keeps each kind of row."""
    return Retention(**{field.name: getattr(settings, f"keep_{field.name}_days") for field in fields(Retention)})


def worker_settings(settings: Settings, brokers: str, *, realtime: bool = True) -> WorkerSettings:
    """What a worker process takes."""
    readers, threads = readers_for(cores(settings), realtime=realtime)
    return WorkerSettings(
        brokers=brokers,
        instance_id=settings.worker_id,
        security=kafka_security(settings),
        readers=settings.readers or readers,
        num_gpus=settings.num_gpus,
        reader=ReaderSettings(
            device=settings.device,
            precision=settings.precision,
            engine=settings.engine,
            cache_dir=settings.cache_dir,
            threads=threads,
            detector=settings.detector,
            detector_tiles=settings.detector_tiles,
            reader=settings.reader,
            limits=Limits(max_pixels=settings.max_pixels),
        ),
        batch_frames=settings.batch_frames,
        batch_wait_ms=settings.batch_wait_ms,
        max_in_flight=settings.max_in_flight,
        ray_address=settings.ray_address,
        metrics_port=settings.metrics_port,
        metrics_host=settings.metrics_host,
    )


def stream_settings(settings: Settings, brokers: str, store_url: str) -> StreamSettings:
    """What a streams process takes."""
    return StreamSettings(
        brokers=brokers,
        data_dir=settings.data_dir / "streams",
        security=kafka_security(settings),
        store_url=store_url,
        instance_id=settings.stream_id,
        roles=settings.stream_roles,
        tracker=TrackerSettings(gap_s=settings.gap_seconds),
        match=MatchSettings(candidate_threshold=settings.candidate_threshold),
        silence_s=settings.silence_seconds,
        flush_rows=settings.flush_rows,
        flush_s=settings.flush_seconds,
        replication=settings.replication,
    )


def delivery_settings(settings: Settings, brokers: str) -> DeliverySettings:
    """What a delivery process takes.

    Raises:
        ValueError: no target is set.
    """
    return DeliverySettings(
        brokers=brokers,
        targets=tuple(one.target(name) for name, one in sorted(settings.targets.items())),
        instance_id=settings.deliver_id,
        most_wait_s=settings.deliver_wait_seconds,
        notify_give_up_s=settings.deliver_notify_hours * 3600,
        security=kafka_security(settings),
    )
