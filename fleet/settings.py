"""Every setting once. In: `PLATEFLEET_*` variables, `.env`, a TOML file. Out: one frozen object.

This is the only reader of the environment. The first of these that sets a value wins: a variable, `.env` in the
working folder, the TOML file (`platefleet.toml` in the working folder, or the one that PLATEFLEET_CONFIG names),
the default. `docs/settings.md` is written from this file.
"""

import difflib
import os
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from dotenv import dotenv_values
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from fleet.targets import TargetName, TargetSettings

PREFIX = "PLATEFLEET_"
CONFIG_VARIABLE = "PLATEFLEET_CONFIG"
CONFIG_NAME = "platefleet.toml"

Port = Annotated[int, Field(ge=0, le=65535)]
Count = Annotated[int, Field(ge=1)]
Days = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(gt=0)]


class SettingsError(ValueError):
    """A setting is unknown, wrong, or contradicts another; the text names it and where it is set."""


class Settings(BaseSettings):
    """All settings with their defaults. A name here in capitals after `PLATEFLEET_` is the variable."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True, validate_default=True
    )

    data_dir: Path = Field(Path("data"), description="Folder for everything that is kept on this machine")
    cache_dir: Path = Field(Path("~/.cache/platefleet"), description="Folder for what can be fetched again")
    threads: int = Field(0, ge=0, description="Processor cores to use; 0: all that this process may use")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="What is logged")
    log_json: bool = Field(False, description="Log JSON objects instead of text")
    metrics_port: Port | None = Field(
        None, description="Port of a worker's Prometheus metrics; 0: a free one; not set: not served"
    )
    metrics_host: str = Field("127.0.0.1", description="Address that the metrics are served on")

    brokers: str = Field("", description="Kafka, `host:port,host:port`; not set: `up` starts Kafka on this machine")
    kafka_port: Port | None = Field(
        None, description="Port of the Kafka on this machine; not set: 9092, or a free one where that is taken"
    )
    kafka_heap: str = Field("512m", pattern=r"^\d+[mMgG]$", description="Memory of the Kafka on this machine")
    kafka_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="How to log on to Kafka"
    )
    kafka_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = Field(
        None, description="SASL mechanism"
    )
    kafka_username: str | None = Field(None, description="SASL user")
    kafka_password: SecretStr | None = Field(None, description="SASL password")
    kafka_ca_file: Path | None = Field(None, description="Certificates of the authority that signed the brokers'")
    kafka_certificate_file: Path | None = Field(None, description="This client's certificate")
    kafka_key_file: Path | None = Field(None, description="Key of this client's certificate")
    partitions: Count | None = Field(
        None, description="Partitions of the topics keyed by camera or plate, when they are created; not set: 8"
    )
    replication: Count = Field(1, description="Replicas of every topic, when it is created")

    store_url: SecretStr | None = Field(
        None,
        description="ClickHouse, `clickhouse://user:password@host:9000/database` or `http://...:8123/...`; "
        "not set: chDB in the data folder",
    )
    store_port: Port | None = Field(
        None, description="HTTP port of the embedded store; not set: 8123, or a free one where that is taken"
    )
    store_host: str = Field("127.0.0.1", description="Address that the embedded store listens on")
    store_user: str = Field("default", description="User of the embedded store")
    store_password: SecretStr | None = Field(
        None, description="Password of the embedded store; a must where it listens beyond this machine"
    )

    keep_sightings_days: Days = Field(
        0, description="Days that sightings without a hit are kept; 0, here and below: forever"
    )
    keep_hits_days: Days = Field(0, description="Days that sightings with a hit are kept")
    keep_crops_days: Days = Field(0, description="Days that crops of sightings without a hit are kept")
    keep_hit_crops_days: Days = Field(0, description="Days that crops of sightings with a hit are kept")
    keep_reads_days: Days = Field(0, description="Days that reads of single frames are kept")
    keep_alerts_days: Days = Field(0, description="Days that alerts are kept")
    keep_camera_states_days: Days = Field(0, description="Days that states of cameras are kept")
    keep_dead_letters_days: Days = Field(0, description="Days that dead letters are kept in the store")

    source: SecretStr | None = Field(
        None,
        description="What `publish` and `up` send where the command line names no source. An address with a password "
        "belongs here: a command line can be read by all users of the machine",
    )

    ray_address: str | None = Field(
        None, description="Ray cluster that this machine is a node of, `head:6379` or `auto`; not set: one of its own"
    )
    readers: Count | None = Field(None, description="Reader actors; not set: chosen from the cores")
    num_gpus: float | None = Field(
        None,
        ge=0,
        description="GPUs per reader: 0, a fraction, or a whole number; not set: a fair share of what is there",
    )
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="auto, cpu, cuda or cuda:N")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field("auto", description="Number type of the networks")
    engine: Literal["auto", "torch", "onnx", "onnx-int8", "openvino"] = Field(
        "auto", description="What runs the networks; auto: torch on a GPU, else the quickest by measurement"
    )
    detector: str = Field("default", description="Name of the plate detector, or a folder with its card and weights")
    detector_tiles: int | None = Field(
        None,
        ge=12,
        le=8192,
        description="Size of the detector's input in tiles of 32 x 32 pixels; not set: the model's own (336, which is "
        "768 x 448). Twice as many find smaller plates in large pictures, for twice the time",
    )
    reader: str = Field("default", description="Name of the plate reader, or a folder with its card and weights")
    batch_frames: Count = Field(16, description="Pictures per batch at most")
    batch_wait_ms: int = Field(20, ge=0, description="How long a frame waits for company before it is read")
    max_in_flight: Count = Field(128, description="Frames taken from Kafka and not yet acknowledged, at most")
    max_pixels: Count = Field(40_000_000, description="Larger pictures go to the dead letters")
    worker_id: str | None = Field(None, description="Name of a worker process that stays the same over restarts")

    stream_roles: Annotated[tuple[str, ...], NoDecode] = Field(
        ("tracker", "vehicles", "sink"), description="What a streams process does: tracker, vehicles, sink"
    )
    stream_id: str = Field("streams-0", description="Name of a streams process that stays the same over restarts")
    gap_seconds: Seconds = Field(5.0, description="A pause longer than this makes a new sighting")
    silence_seconds: Seconds = Field(6.0, description="A camera silent for this long has its sightings closed")
    flush_rows: Count = Field(50_000, description="Messages of a topic that the sink collects at most for one insert")
    flush_seconds: Seconds = Field(1.0, description="Time between two inserts of the sink into a table")
    candidate_threshold: float = Field(
        0.1, gt=0, le=1, description="Least probability of a candidate that makes an alert; 1: exact texts only"
    )

    targets: dict[TargetName, TargetSettings] = Field(
        default_factory=dict, description="Where alerts are delivered: tables `[targets.NAME]`, see docs/alerts.md"
    )
    deliver_id: str = Field("deliver-0", description="Name of a delivery process that stays the same over restarts")
    deliver_wait_seconds: Seconds = Field(300.0, description="Longest wait between two tries of a target that is down")
    deliver_notify_hours: float = Field(
        1.0, gt=0, description="Hours of tries after which an alert to people (kind `notify`) becomes a dead letter"
    )
    deliver_metrics_port: Port | None = Field(
        None, description="Port of the deliveries' Prometheus metrics; 0: a free one; not set: not served"
    )

    demo_exit: bool = Field(False, description="End `up --source sim` after the drive, as --exit does")
    demo_seconds: Count = Field(40, description="Length of the demo drive")
    demo_fps: Count = Field(5, description="Frames per second and camera of the demo drive")
    demo_seed: int = Field(7, ge=0, description="Seed of the demo drive")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, variables, `.env`, TOML: the first that sets a value wins."""
        toml = config_file()
        if toml is None:
            return init_settings, env_settings, dotenv_settings
        return init_settings, env_settings, dotenv_settings, TomlConfigSettingsSource(settings_cls, toml)

    @field_validator("stream_roles", mode="before")
    @classmethod
    def _split_roles(cls, value: Any) -> Any:
        return tuple(filter(None, (part.strip() for part in value.split(",")))) if isinstance(value, str) else value

    @field_validator("store_url")
    @classmethod
    def _is_a_server(cls, value: SecretStr | None) -> SecretStr | None:
        if value and not value.get_secret_value().startswith(
            ("http://", "https://", "clickhouse://", "clickhouses://")
        ):
            raise ValueError(
                "write clickhouse://user:password@host:9000/database or http://user:password@host:8123/database; "
                "leave it unset for the embedded store"
            )
        return value

    @field_validator("ray_address")
    @classmethod
    def _is_no_ray_client(cls, value: str | None) -> str | None:
        # Ray Client needs grpcio, which nothing else here does
        if value and value.startswith("ray://"):
            raise ValueError("Ray Client is not supported: write head:6379, or auto on a node of the cluster")
        return value

    @field_validator("data_dir", "cache_dir")
    @classmethod
    def _expand(cls, value: Path) -> Path:
        return value.expanduser().absolute()


def child_environment(settings: Settings, **extra: str) -> dict[str, str]:
    """The environment of a process that shall see the same settings, whatever its working folder; `extra` wins."""
    same = {PREFIX + "DATA_DIR": str(settings.data_dir), PREFIX + "CACHE_DIR": str(settings.cache_dir)}
    return {**os.environ, **same, **extra}


def _dotenv() -> dict[str, str]:
    return {name: value or "" for name, value in dotenv_values(".env").items() if name.startswith(PREFIX)}


def config_file() -> Path | None:
    """The TOML file in use, None when there is none.

    Raises:
        SettingsError: PLATEFLEET_CONFIG names a file that is not there.
    """
    named = os.environ.get(CONFIG_VARIABLE) or _dotenv().get(CONFIG_VARIABLE)
    if named:
        path = Path(named).expanduser()
        if not path.is_file():
            raise SettingsError(f"{CONFIG_VARIABLE}: {named}: no such file")
        return path
    return Path(CONFIG_NAME) if Path(CONFIG_NAME).is_file() else None


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: not TOML: {error}") from error
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from error


def _unknown(name: str, place: str, known: list[str]) -> SettingsError:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]}?" if near else "; `platefleet doctor --settings` lists all"
    return SettingsError(f"{place}: unknown setting {name}{hint}")


def _origins() -> dict[str, str]:
    """Setting -> the place that sets it, as a person would write it.

    Raises:
        SettingsError: a name that is no setting.
    """
    fields = list(Settings.model_fields)
    variables = [PREFIX + name.upper() for name in fields]
    origins: dict[str, str] = {}
    path = config_file()
    for name in _read_toml(path) if path else {}:
        if name not in fields:
            raise _unknown(name, str(path), fields)
        origins[name] = f"{name} in {path}"
    for place, values in ((".env", _dotenv()), ("environment", dict(os.environ))):
        for variable, value in values.items():
            if not variable.startswith(PREFIX) or variable == CONFIG_VARIABLE:
                continue
            if variable not in variables:
                raise _unknown(variable, place, variables)
            if value:
                name = variable.removeprefix(PREFIX).lower()
                origins[name] = variable if place == "environment" else f"{variable} in {place}"
    return origins


def load_settings(**overrides: Any) -> Settings:
    """The settings of this process; `overrides` (of the command line) win over all.

    Raises:
        SettingsError: unknown, wrong or contradictory settings, one line.
    """
    origins = _origins()
    try:
        settings = Settings(**overrides)
    except ValidationError as error:
        raise SettingsError("; ".join(_describe(dict(one), origins) for one in error.errors())) from None
    _check(settings, origins)
    return settings


def _describe(problem: dict[str, Any], origins: dict[str, str]) -> str:
    name = str(problem["loc"][0]) if problem["loc"] else "settings"
    # a secret's value is never repeated
    secret = name in ("kafka_password", "store_password", "store_url", "source", "targets")
    given = "" if secret else f" (given: {problem['input']!r})"
    message = str(problem["msg"])
    inside = "".join(f".{part}" for part in problem["loc"][1:] if part != "[key]") if name == "targets" else ""
    where = f"{name}{inside} ({origins.get(name, name)})" if inside else origins.get(name, name)
    return f"{where}: {message[0].lower()}{message[1:]}{given}"


def _check(settings: Settings, origins: dict[str, str]) -> None:
    """Refuse settings that contradict each other."""

    def name(field: str) -> str:
        return origins.get(field, PREFIX + field.upper())

    sasl = settings.kafka_protocol.startswith("SASL")
    gpus = settings.num_gpus
    file = settings.engine.startswith("onnx") or settings.engine == "openvino"
    rules = (
        (settings.brokers and settings.kafka_port is not None, "kafka_port", "brokers", "is for a Kafka of our own"),
        (
            settings.store_url and settings.store_port is not None,
            "store_port",
            "store_url",
            "is for the embedded store",
        ),
        (gpus and settings.device == "cpu", "num_gpus", "device", "asks for a GPU, the other for the processor"),
        (
            gpus == 0 and settings.device.startswith("cuda"),
            "device",
            "num_gpus",
            "asks for a GPU, the other keeps every GPU away from the readers",
        ),
        (sasl and settings.kafka_mechanism is None, "kafka_mechanism", "kafka_protocol", "must be set with SASL"),
        (sasl and not settings.kafka_username, "kafka_username", "kafka_protocol", "must be set with SASL"),
        (sasl and settings.kafka_password is None, "kafka_password", "kafka_protocol", "must be set with SASL"),
        (
            not sasl and settings.kafka_password is not None,
            "kafka_password",
            "kafka_protocol",
            "would never be sent: the protocol is not a SASL one",
        ),
        (
            settings.kafka_protocol != "PLAINTEXT" and not settings.brokers,
            "kafka_protocol",
            "brokers",
            "needs brokers: the Kafka of our own speaks PLAINTEXT",
        ),
        (
            settings.kafka_key_file and not settings.kafka_certificate_file,
            "kafka_key_file",
            "kafka_certificate_file",
            "needs its certificate",
        ),
        (
            settings.max_in_flight < settings.batch_frames,
            "max_in_flight",
            "batch_frames",
            "is smaller: no batch would ever be full",
        ),
        (file and settings.device.startswith("cuda"), "engine", "device", "runs on the processor alone"),
        (file and gpus, "engine", "num_gpus", "runs on the processor alone"),
        (
            file and settings.precision in ("bf16", "fp16"),
            "engine",
            "precision",
            "has its own number type: leave precision at auto",
        ),
        (
            settings.precision == "fp16" and settings.device == "cpu",
            "precision",
            "device",
            "needs a GPU; on a processor choose fp32 or bf16",
        ),
    )
    for broken, one, other, why in rules:
        if broken:
            raise SettingsError(f"{name(one)} contradicts {name(other)}: {one} {why}")
