"""Model names to folders: in comes a name (`default`, `detector-v1`), out come its card and its weights, checked.

A model is a folder under `vision/weights/` (or anywhere, named by its path) that holds `card.json` and the weights file
that the card names with its sha256. The sum is checked before torch reads a byte.

Errors: `ModelError` (a ValueError), one line: an unknown name, a missing or broken card, weights that are not those of
the card.
"""

import hashlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

Kind = Literal["detector", "reader"]

WEIGHTS = Path(__file__).with_name("weights")
DEFAULTS: dict[Kind, str] = {"detector": "detector-v6", "reader": "reader-v7"}


class ModelError(ValueError):
    """A model cannot be loaded; the message says which, why and what to do."""


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A model on disk."""

    name: str
    path: Path
    card: dict[str, Any]

    @property
    def version(self) -> str:
        """Name and the first 8 digits of the weights' sha256: says exactly what was used."""
        return f"{self.name}.{self.card['sha256'][:8]}"


def find_model(kind: Kind, name: str = "default", root: Path = WEIGHTS) -> ModelFolder:
    """The folder behind `default`, a model's name, or a path to a folder; the card is read, the weights are not."""
    if "/" in name or name.startswith("."):
        return read_folder(Path(name))
    wanted = DEFAULTS[kind] if name == "default" else name
    names = model_names(kind, root)
    if wanted not in names:
        known = ", ".join(["default", *names]) if names else "none is installed"
        raise ModelError(f"unknown {kind} {name!r}; known: {known} (or a path to a folder with card.json)")
    return read_folder(root / wanted)


def model_names(kind: Kind, root: Path = WEIGHTS) -> list[str]:
    """Names of the installed models of a kind."""
    return sorted(path.parent.name for path in root.glob(f"{kind}-*/card.json"))


def one_of(names: tuple[Any, ...], name: object, what: str) -> Any:
    """The name where it is one of `names`, as a card may hold any; raises `ValueError` otherwise."""
    if name not in names:
        raise ValueError(f"{name!r} is no {what}")
    return name


def read_folder(path: Path) -> ModelFolder:
    """Read a model folder's card."""
    try:
        card = json.loads((path / "card.json").read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"no model at {path}: {error.strerror} (card.json); train one or name another") from error
    except ValueError as error:
        raise ModelError(f"{path / 'card.json'} is not JSON: {error}") from error
    if not isinstance(card, dict):
        raise ModelError(f"{path / 'card.json'} is no JSON object; restore the folder from the repository")
    for key in ("sha256", "weights"):
        if not isinstance(card.get(key), str):
            raise ModelError(f"{path / 'card.json'} lacks {key!r}; restore the folder from the repository")
    return ModelFolder(path.resolve().name, path, card)


def load_state(model: ModelFolder) -> dict[str, torch.Tensor]:
    """The state dict, after its sha256 was compared with the card's."""
    file = model.path / model.card["weights"]
    try:
        data = file.read_bytes()
    except OSError as error:
        raise ModelError(f"cannot read {file}: {error.strerror}; restore it from the repository") from error
    if sha256_of(data) != model.card["sha256"]:
        raise ModelError(f"{file} is not the file its card describes (sha256 differs); restore it from the repository")
    state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in state.items()}


def load_weights(model: ModelFolder, network: nn.Module) -> None:
    """Put the checked weights into `network`; raises `ModelError` when they do not fit it."""
    try:
        network.load_state_dict(load_state(model))
    except RuntimeError as error:
        first = str(error).splitlines()[0]
        raise ModelError(f"the weights of {model.name} do not fit its architecture: {first}") from error


def sha256_of(data: bytes) -> str:
    """Hexadecimal sha256."""
    return hashlib.sha256(data).hexdigest()
