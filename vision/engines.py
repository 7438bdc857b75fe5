"""Which runtime runs the networks: in come two models and a setting, out comes a `Choice`, by measurement where asked,
or, with `load_engines`, the networks themselves.

`auto` takes torch on a GPU, with kernels launched one by one or as recorded graphs, whichever is quicker there, and on
a processor wherever a number type is asked for. Else it runs every variant that is there for a few pictures and takes
the quickest pair of those that together lose at most `MOST_LOST` points of accuracy, by their cards. The result is kept
in a file, by processor or GPU, threads, libraries and models, so that it is paid once.

Errors: `ModelError` for a variant that was asked for and is not there, `DeviceError` for one asked for on a GPU.
"""

import contextlib
import fcntl
import hashlib
import itertools
import json
import logging
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import cv2
import numpy as np
import onnxruntime
import torch

from vision.detector import GridDetector, TorchDetector
from vision.device import DeviceError, choose_device
from vision.plates import plate_with_text, render_plate
from vision.reader import CROP_SIZE, RowReader, TorchReader
from vision.registry import Kind, ModelError, ModelFolder
from vision.resident import upload
from vision.runtime_onnx import ONNX_ENGINES, DamagedError, OnnxDetector, OnnxReader, find_variant, variants
from vision.runtime_openvino import version as openvino_version

log = logging.getLogger(__name__)

Engine = Literal["torch", "torch-graphs", "onnx", "onnx-int8", "openvino"]
EngineSetting = Literal["auto", "torch", "onnx", "onnx-int8", "openvino"]
MOST_LOST = 0.5
"""Percentage points of val's end-to-end plates that detector and reader together may lose by 8 bits under `auto`."""
PICTURE = (720, 1280)
"""Height, width of the pictures that are raced over."""
PLATES = 2
"""Crops that are read per picture in a race."""
_MEASURED = "measured"
_ROUNDS = 5
_FILE = "engines.json"


@dataclass(frozen=True, slots=True)
class Choice:
    """What runs, and what is known of the others."""

    detector: Engine
    reader: Engine
    why: str
    """Such as `measured` or `set`."""
    milliseconds: Mapping[Kind, Mapping[Engine, float]] = field(default_factory=dict)
    """`detector`, `reader` -> engine -> milliseconds of a picture of 1280 x 720 with two plates; empty unless raced."""

    @property
    def name(self) -> str:
        """Such as `detector onnx-int8, reader torch (measured)`."""
        return f"detector {self.detector}, reader {self.reader} ({self.why})"


def make_detector(
    model: ModelFolder, engine: Engine, device: str = "auto", precision: str = "auto", threads: int = 1
) -> GridDetector:
    """The detector on one runtime; device and precision are torch's alone."""
    if engine in ONNX_ENGINES:
        return OnnxDetector.from_model(model, engine, threads)
    detector = TorchDetector.from_model(model, device, precision, threads)
    if engine == "torch-graphs":
        detector.record()
    return detector


def make_reader(
    model: ModelFolder, engine: Engine, device: str = "auto", precision: str = "auto", threads: int = 1
) -> RowReader:
    """The reader on one runtime; device and precision are torch's alone."""
    if engine in ONNX_ENGINES:
        return OnnxReader.load(model, engine, threads)
    reader = TorchReader.load(model, device, precision, threads)
    if engine == "torch-graphs":
        reader.record()
    return reader


def load_engines(
    finding: ModelFolder,
    reading: ModelFolder,
    engine: str = "auto",
    *,
    device: str = "auto",
    precision: str = "auto",
    threads: int = 1,
    cache: Path | None = None,
) -> tuple[Choice, GridDetector, RowReader]:
    """As `choose_engines`, and what it chose. Where that cannot be loaded since the race, another one is run."""
    choose = partial(
        choose_engines, finding, reading, engine, device=device, precision=precision, threads=threads, cache=cache
    )

    def load(choice: Choice) -> tuple[Choice, GridDetector, RowReader]:
        return (
            choice,
            make_detector(finding, choice.detector, device, precision, threads),
            make_reader(reading, choice.reader, device, precision, threads),
        )

    choice = choose()
    try:
        return load(choice)
    except ModelError:
        if not choice.milliseconds:
            raise
    return load(choose(anew=True))


def choose_engines(
    finding: ModelFolder,
    reading: ModelFolder,
    engine: str = "auto",
    *,
    device: str = "auto",
    precision: str = "auto",
    threads: int = 1,
    cache: Path | None = None,
    anew: bool = False,
) -> Choice:
    """What shall run the two models.

    `cache` is the folder that keeps the outcome of races; with `anew` what it holds is passed over.
    """
    if engine not in get_args(EngineSetting):
        raise ModelError(f"unknown engine {engine!r}; choose one of {', '.join(get_args(EngineSetting))}")
    if engine in ONNX_ENGINES:
        if device.startswith("cuda"):
            raise DeviceError(f"engine {engine} runs on the processor, not on {device}; choose torch or auto")
        for model in (finding, reading):
            find_variant(model, engine)
        return Choice(engine, engine, "set")
    if engine == "torch":
        return Choice("torch", "torch", "set")
    chosen = choose_device(device)
    if chosen.type == "cuda":
        both: dict[Engine, float] = {"torch": 0.0, "torch-graphs": 0.0}
        those = Race(finding, reading, {"detector": both, "reader": both}, threads, device, precision)
        return _raced(those, cache, anew)
    if precision != "auto":
        return Choice("torch", "torch", f"for {precision}")
    allowed: dict[Kind, dict[Engine, float]] = {"detector": _allowed(finding), "reader": _allowed(reading)}
    if all(len(engines) == 1 for engines in allowed.values()):
        return Choice("torch", "torch", "nothing else is exported")
    return _raced(Race(finding, reading, allowed, threads), cache, anew)


@dataclass(frozen=True, slots=True)
class Race:
    """Who runs, and on what."""

    finding: ModelFolder
    reading: ModelFolder
    allowed: Mapping[Kind, Mapping[Engine, float]]
    """Engine -> points lost."""
    threads: int = 1
    device: str = "cpu"
    precision: str = "auto"


def _allowed(model: ModelFolder) -> dict[Engine, float]:
    """Engine -> points lost, of what may run here."""
    found: dict[Engine, float] = {"torch": 0.0}
    for engine, variant in variants(model).items():
        if engine == "onnx-int8" and not exact_in_8_bits():
            continue
        # the float32 file gives what torch gives, measured or not; 8 bits are another network
        cost = 0.0 if variant.cost is None and engine != "onnx-int8" else variant.cost
        if cost is not None and cost <= MOST_LOST:
            found[engine] = max(0.0, cost)
    return found


def exact_in_8_bits() -> bool:
    """Whether products of bytes are summed here without running over: x86 needs VNNI or AMX for that."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return True
    able = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return any(able.get(name) for name in ("avx512_vnni", "avx_vnni", "avx512_vnni_vl", "amx_int8"))


def _raced(those: Race, cache: Path | None, anew: bool) -> Choice:
    key = _key(those)
    with _locked(cache):
        known = _remembered(cache)
        if key in known and not anew:
            with contextlib.suppress(TypeError, KeyError):
                return Choice(**known[key])
        choice = race(those)
        # one that is damaged today may be the quickest tomorrow, and the key does not tell the two days apart
        if choice.why == _MEASURED:
            _remember(cache, known | {key: asdict(choice)})
    return choice


def race(those: Race) -> Choice:
    """Run every allowed engine on the device, and take the quickest pair that loses little enough together."""
    # what the networks see does not change their time, but a text that is hard to tell is long searched for
    picture = np.full((*PICTURE, 3), 110, np.uint8)
    plate = render_plate(plate_with_text("B 123 XYZ", "RO"), CROP_SIZE[0])
    crops = [np.asarray(cv2.resize(plate, CROP_SIZE[::-1]), np.uint8)] * PLATES
    device = choose_device(those.device)
    # on a GPU the pictures lie there already
    pictures = [picture] if device.type == "cpu" else upload([picture], device)
    cut = crops if device.type == "cpu" else torch.stack(upload(crops, device))
    detectors: dict[Engine, Callable[[], object]] = {}
    readers: dict[Engine, Callable[[], object]] = {}
    damaged: list[str] = []
    for engine in those.allowed["detector"]:
        with _left_out(those.finding, engine, damaged):
            detector = make_detector(those.finding, engine, those.device, those.precision, those.threads)
            detectors[engine] = partial(detector.detect, pictures)
    for engine in those.allowed["reader"]:
        with _left_out(those.reading, engine, damaged):
            reader = make_reader(those.reading, engine, those.device, those.precision, those.threads)
            readers[engine] = partial(reader.read, cut, [False] * PLATES)
    detect, read = _milliseconds(detectors), _milliseconds(readers)
    pairs = [
        (detect[one] + read[other], one, other)
        for one, other in itertools.product(detect, read)
        if those.allowed["detector"][one] + those.allowed["reader"][other] <= MOST_LOST + 1e-9
    ]
    _, one, other = min(pairs)
    why = f"{_MEASURED} without {', '.join(damaged)}" if damaged else _MEASURED
    return Choice(one, other, why, {"detector": detect, "reader": read})


@contextlib.contextmanager
def _left_out(model: ModelFolder, engine: Engine, damaged: list[str]) -> Iterator[None]:
    """A damaged export costs speed, not the start, and is added to `damaged`; torch itself must load."""
    try:
        yield
    except ModelError as error:
        if engine == "torch":
            raise
        log.warning("%s of %s is left out: %s", engine, model.name, error)
        if isinstance(error, DamagedError):
            damaged.append(f"{engine} of {model.name}")


def _milliseconds(works: Mapping[Engine, Callable[[], object]]) -> Mapping[Engine, float]:
    """The fewest milliseconds of each, run in turns so that a busy moment of the machine meets all of them."""
    best = dict.fromkeys(works, float("inf"))
    for turn in range(_ROUNDS + 1):
        for engine, work in works.items():
            begin = time.perf_counter()
            work()
            if turn:  # the first prepares
                best[engine] = min(best[engine], 1000 * (time.perf_counter() - begin))
    return {engine: round(value, 2) for engine, value in best.items()}


def _key(those: Race) -> str:
    files = [
        (model.version, *((engine, one.sha256) for engine, one in variants(model).items()))
        for model in (those.finding, those.reading)
    ]
    device = choose_device(those.device)
    where = processor() if device.type == "cpu" else torch.cuda.get_device_name(device)
    libraries = [torch.__version__, onnxruntime.__version__, openvino_version()]
    facts = [where, those.threads, those.precision, libraries, files, those.allowed]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]


def processor() -> str:
    """The processor's name, as far as it tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    # the family and model beside the name: virtual machines name many processors alike
    wanted = ("model name", "cpu family", "model", "stepping", "flags", "CPU part", "Features")
    seen: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() in wanted:
            seen.setdefault(name.strip(), value.strip())
    return json.dumps(seen, sort_keys=True) if seen else platform.machine()


def _remembered(cache: Path | None) -> dict[str, Any]:
    if cache is None:
        return {}
    try:
        known = json.loads((cache / _FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _remember(cache: Path | None, known: Mapping[str, Any]) -> None:
    if cache is None:
        return
    part = cache / (_FILE + ".part")
    with contextlib.suppress(OSError):  # a folder that cannot be written costs a race at each start, no more
        part.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
        part.replace(cache / _FILE)


@contextlib.contextmanager
def _locked(cache: Path | None) -> Iterator[None]:
    """One race at a time on a machine: readers that start together wait for the first one's outcome."""
    with contextlib.ExitStack() as stack:
        if cache is not None:
            with contextlib.suppress(OSError):
                cache.mkdir(parents=True, exist_ok=True)
                file = stack.enter_context((cache / (_FILE + ".lock")).open("w"))
                fcntl.flock(file, fcntl.LOCK_EX)
        yield
