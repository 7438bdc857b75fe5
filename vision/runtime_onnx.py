"""The networks as ONNX files, on the processor: in come pictures or crops, out come what the torch ones give.

Only the call of the network differs, and for OpenVINO's detector what it takes (`vision.detector.as_bytes`): everything
before and after it is `vision.detector.GridDetector` and `vision.reader.RowReader`. A model folder holds up to two
further files beside its weights, written by `platefleet export` and described in its card under `variants`: `onnx`
(float32) and `onnx-int8` (convolutions in 8 bits), both for ONNX Runtime; `openvino` is the float32 file on OpenVINO
(`vision.runtime_openvino`).

Errors: `ModelError`, one line: the variant is not there, was made from other weights, or is not its card's.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor

from vision.detector import Forward, GridDetector, Prepare, as_bytes, as_floats
from vision.device import Placement
from vision.reader import ReaderOutput, RowReader
from vision.registry import ModelError, ModelFolder, read_folder, sha256_of
from vision.runtime_openvino import Session

OnnxEngine = Literal["onnx", "onnx-int8", "openvino"]
ONNX_ENGINES: tuple[OnnxEngine, ...] = get_args(OnnxEngine)
FILES: dict[OnnxEngine, str] = {"onnx": "model.onnx", "onnx-int8": "model-int8.onnx", "openvino": "model.onnx"}
INPUT = "pixels"
"""The networks' one input, B x H x W x 3: what lies in memory anyway, so that nothing is copied on the way in."""
DETECTOR_OUTPUTS = ("heat", "geometry")
READER_OUTPUTS = ("logits", "region", "legible")

_PROCESSOR = Placement(torch.device("cpu"), torch.float32)
Run = Callable[[Tensor], list[NDArray[np.float32]]]


class DamagedError(ModelError):
    """A variant's file is not its card's, or cannot be read: restored or exported anew, it can be used again."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One exported file of a model, as its card describes it."""

    engine: OnnxEngine
    path: Path
    sha256: str
    cost: float | None
    """Percentage points of val's end-to-end plates (strict) that it loses against torch in float32; negative when it
    reads more; None when that was not measured."""
    temperature: float | None = None
    """A reader's own (see `vision.alphabet`), where it was fitted for this file; None: the card's."""


def find_variant(model: ModelFolder, engine: OnnxEngine) -> Variant:
    """What the card says of one exported file, whose bytes are not looked at yet."""
    described = (model.card.get("variants") or {}).get(engine)
    hint = f"run `platefleet export --{model.card.get('kind', 'detector')} {model.path}`"
    if described is None:
        raise ModelError(f"{model.name} has no {engine} variant: {hint}")
    try:
        made_from, file, digest = described["weights"], str(described["file"]), str(described["sha256"])
        cost = None if described["cost"] is None else float(described["cost"])
        temperature = None if described.get("temperature") is None else float(described["temperature"])
    except (TypeError, KeyError, ValueError) as error:
        raise ModelError(f"the card of {model.name} does not describe its {engine} variant: {error!r}") from error
    if made_from != model.card["sha256"]:
        raise ModelError(f"the {engine} variant of {model.name} was made from other weights: {hint}")
    return Variant(engine, model.path / file, digest, cost, temperature)


def variants(model: ModelFolder) -> dict[OnnxEngine, Variant]:
    """Every variant that belongs to the model's weights."""
    found: dict[OnnxEngine, Variant] = {}
    for engine in ONNX_ENGINES:
        try:
            found[engine] = find_variant(model, engine)
        except ModelError:
            continue
    return found


def open_session(variant: Variant, threads: int) -> Run:
    """The network behind a variant, its file's sha256 checked: B x 3 x H x W float32 in, its outputs in order out.

    Raises `ModelError` where the file is not the card's, or cannot be run here.
    """
    return session_of(_bytes_of(variant), threads, variant.engine)


def _bytes_of(variant: Variant) -> bytes:
    try:
        data = variant.path.read_bytes()
    except OSError as error:
        raise DamagedError(f"cannot read {variant.path}: {error.strerror}; restore it from the repository") from error
    if sha256_of(data) != variant.sha256:
        raise DamagedError(f"{variant.path} is not the file its card describes (sha256 differs); export it anew")
    return data


def session_of(data: bytes, threads: int, engine: OnnxEngine = "onnx") -> Run:
    """The network of an ONNX file's bytes. Raises `ModelError` where OpenVINO is wanted and is not there."""
    if engine == "openvino":
        return _openvino(data, threads)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    # between two frames its threads shall sleep: others have the cores then
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])

    def run(batch: Tensor) -> list[NDArray[np.float32]]:
        # channels last in memory, so this is a view
        pixels = batch.permute(0, 2, 3, 1).numpy()
        outputs: list[Any] = session.run(None, {INPUT: np.ascontiguousarray(pixels)})
        return outputs

    return run


def _openvino(data: bytes, threads: int, evening_out: bool = False) -> Session:
    try:
        return Session(data, threads, evening_out)
    except (ImportError, RuntimeError) as error:
        first = str(error).strip().splitlines()[0]
        raise ModelError(f"OpenVINO cannot run this network: {first}; set PLATEFLEET_ENGINE=auto") from error


class OnnxDetector(GridDetector):
    """The committed detector as an ONNX file."""

    @classmethod
    def load(
        cls, folder: Path, engine: OnnxEngine = "onnx", threads: int = 1, threshold: float | None = None
    ) -> "OnnxDetector":
        """From a folder with `card.json` and the exported file; raises `ModelError`."""
        return cls.from_model(read_folder(folder), engine, threads, threshold)

    @classmethod
    def from_model(
        cls, model: ModelFolder, engine: OnnxEngine = "onnx", threads: int = 1, threshold: float | None = None
    ) -> "OnnxDetector":
        """From a folder that the registry has read; `threads` holds for torch, which prepares, in the whole process."""
        torch.set_num_threads(threads)
        variant, version = find_variant(model, engine), f"{model.version}-{engine}"
        if engine == "openvino":
            session = _openvino(_bytes_of(variant), threads, evening_out=True)
            return cls.from_run(model, session.evened, version, threshold, as_bytes)
        return cls.from_run(model, open_session(variant, threads), version, threshold)

    @classmethod
    def from_run(
        cls,
        model: ModelFolder,
        run: Callable[..., list[NDArray[np.float32]]],
        version: str = "",
        threshold: float | None = None,
        prepare: Prepare = as_floats,
    ) -> "OnnxDetector":
        """Any network of the model's shape, which takes what `prepare` makes, behind the model's card."""
        return cls(
            detector_forward(run),
            _PROCESSOR,
            prepare=prepare,
            threshold=model.card["threshold"] if threshold is None else threshold,
            tiles=model.card["tiles"],
            version=version,
        )


class OnnxReader(RowReader):
    """The committed reader as an ONNX file."""

    @classmethod
    def load(cls, folder: Path | ModelFolder, engine: OnnxEngine = "onnx", threads: int = 1) -> "OnnxReader":
        """From a folder with `card.json` and the exported file; raises `ModelError`."""
        model = folder if isinstance(folder, ModelFolder) else read_folder(folder)
        torch.set_num_threads(threads)
        variant = find_variant(model, engine)
        run = open_session(variant, threads)
        return cls.from_run(model, run, f"{model.version}-{engine}", variant.temperature)

    @classmethod
    def from_run(
        cls, model: ModelFolder, run: Run, version: str = "", temperature: float | None = None
    ) -> "OnnxReader":
        """Any network of the model's shape behind the model's card, at its own temperature where one is given."""
        return cls(
            reader_forward(run),
            tuple(model.card["architecture"]["regions"]),
            _PROCESSOR,
            temperature=float(model.card.get("temperature", 1.0)) if temperature is None else temperature,
            version=version,
        )


def detector_forward(run: Callable[..., list[NDArray[np.float32]]]) -> Forward:
    """A session as `GridDetector` calls it."""

    def forward(*batch: Any) -> tuple[Tensor, Tensor]:
        heat, geometry = run(*batch)
        return torch.from_numpy(heat), torch.from_numpy(geometry)

    return forward


def reader_forward(run: Run) -> Callable[[Tensor], ReaderOutput]:
    """A session as `RowReader` calls it."""

    def forward(crops: Tensor) -> ReaderOutput:
        logits, region, legible = run(crops)
        return ReaderOutput(torch.from_numpy(logits), torch.from_numpy(region), torch.from_numpy(legible))

    return forward
