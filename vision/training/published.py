"""ONNX files of published networks, read operation by operation, and model folders of the bodies taken from them.

Errors: `PretrainedError` (a ValueError) for a file that is not of the expected design, `ModelError` for a folder that
holds no body of the network's kind.
"""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vision.lcnet import Weighed
from vision.registry import WEIGHTS, ModelError, load_state, read_folder, sha256_of

Numbers = NDArray[np.float64]


class PretrainedError(ValueError):
    """The file is not the published network; the message says where it differs."""


class Published:
    """An ONNX file, walked through from its first operation on."""

    def __init__(self, data: bytes) -> None:
        import onnx
        from onnx import numpy_helper

        try:
            graph = onnx.load_model_from_string(data).graph
        except Exception as error:
            raise PretrainedError(f"this is no ONNX file: {error}") from error
        self._constants = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
        for node in graph.node:
            if node.op_type == "Constant":
                self._constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
        self._nodes = [node for node in graph.node if node.op_type != "Constant"]
        self._at = 0

    def next_is(self, *kinds: str) -> bool:
        return [node.op_type for node in self._nodes[self._at : self._at + len(kinds)]] == list(kinds)

    def take(self, kind: str) -> list[Numbers]:
        """The constants of the next operation, which is of this kind, in their order."""
        node = self._nodes[self._at] if self._at < len(self._nodes) else None
        if node is None or node.op_type != kind:
            raise PretrainedError(f"operation {self._at} is {node.op_type if node else 'missing'}, not {kind}")
        self._at += 1
        return [self._constants[name].astype(np.float64) for name in node.input if name in self._constants]

    def scalars(self) -> tuple[float, float]:
        """Factor and summand of the next two operations."""
        (factor,), (summand,) = self.take("Mul"), self.take("Add")
        return float(factor.ravel()[0]), float(summand.ravel()[0])

    @property
    def gave(self) -> str:
        """Name of what the last operation that was taken gives."""
        return str(self._nodes[self._at - 1].output[0])


def put(into: nn.Conv2d, weights: Numbers, bias: Numbers) -> None:
    """Set a convolution's numbers; raises `PretrainedError` when it is of another shape."""
    assert into.bias is not None
    if weights.shape != tuple(into.weight.shape):
        raise PretrainedError(f"a convolution is {weights.shape}, not {tuple(into.weight.shape)}")
    with torch.no_grad():
        into.weight.copy_(torch.from_numpy(weights))
        into.bias.copy_(torch.from_numpy(bias))


def put_weighed(into: Weighed, network: Published, mean: str) -> None:
    """Take over the next weighing of channels, whose means are an operation of the kind `mean`."""
    network.take(mean)
    put(into.fewer, *network.take("Conv"))
    network.take("Relu")
    put(into.gate, *network.take("Conv"))
    network.take("HardSigmoid")
    network.take("Mul")


def write_body(network: nn.Module, source: bytes, folder: Path, told: dict[str, Any]) -> None:
    """The weights in half precision, and a card that says where they are from: `source` is the published file, `told`
    what a person should know of it."""
    buffer = io.BytesIO()
    torch.save({name: weights.half() for name, weights in network.state_dict().items()}, buffer)
    data = buffer.getvalue()
    card = {
        "kind": "body",
        "weights": "weights.pt",
        "sha256": sha256_of(data),
        "bytes": len(data),
        "parameters": sum(weights.numel() for weights in network.parameters()),
        "from_sha256": sha256_of(source),
        "licence": "Apache-2.0",
        "copyright": "PaddlePaddle Authors",
    } | told
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "weights.pt").write_bytes(data)
    (folder / "card.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")


def body_of(name: str, network: nn.Module, begins: str, prefix: str = "") -> dict[str, Tensor]:
    """The weights of a folder that holds a body alone (its path, or its name in `vision/weights`), as the network calls
    them: `begins` is how its names of the body's weights begin, `prefix` what the folder's names lack of that."""
    model = read_folder(Path(name) if "/" in name else WEIGHTS / name)
    state = {prefix + key: weights for key, weights in load_state(model).items()}
    own = {key: weights.shape for key, weights in network.state_dict().items() if key.startswith(begins)}
    if {key: weights.shape for key, weights in state.items()} != own:
        raise ModelError(f"{model.name} is not the body that this run has: set body to the one it is of")
    return state
