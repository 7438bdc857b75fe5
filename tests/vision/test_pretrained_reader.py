"""A published text reader's ONNX file becomes our body's weights, to the last digit; any other file is refused."""

import warnings
from pathlib import Path

import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from vision.lcnet import STEPS, Step
from vision.registry import WEIGHTS, find_model, load_state, read_folder
from vision.training.pretrained_reader import CONTRAST, TOLD, read_body
from vision.training.published import PretrainedError, write_body


class _Scaled(nn.Module):
    """A convolution as it is published: a learnt factor and summand, a hard swish, and such a pair again."""

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.convolution = convolution
        self.numbers = nn.ParameterList(nn.Parameter(0.5 + torch.rand(1)) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        x = self.numbers[0] * self.convolution(x) + self.numbers[1]
        x = x * nn.functional.relu6(x + 3.0) / 6.0
        return self.numbers[2] * x + self.numbers[3]


class _Weighed(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fewer, self.gate = nn.Conv2d(width, width // 4, 1), nn.Conv2d(width // 4, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * nn.functional.hardsigmoid(self.gate(torch.relu(self.fewer(self.pool(x)))))


def _published() -> nn.Sequential:
    parts: list[nn.Module] = [nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16)]
    for step in STEPS:
        parts.extend(_step(step))
    network = nn.Sequential(*parts)
    norm = network[1]
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2.0)
    return network.eval()


def _step(step: Step) -> list[nn.Module]:
    around = nn.Conv2d(step.inputs, step.inputs, step.size, step.stride, step.size // 2, groups=step.inputs)
    mixed = _Scaled(nn.Conv2d(step.inputs, step.outputs, 1))
    return [_Scaled(around), _Weighed(step.inputs), mixed] if step.squeezed else [_Scaled(around), mixed]


def _onnx(network: nn.Module, folder: Path) -> bytes:
    file = folder / "published.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (torch.zeros(1, 3, 48, 144),),
            file,
            dynamo=False,
            opset_version=17,
            training=torch.onnx.TrainingMode.PRESERVE,
            do_constant_folding=False,
        )
    model = onnx.load_model_from_string(file.read_bytes())
    # torch casts each bound of a clip to the type that it has
    cast = {node.output[0]: node.input[0] for node in model.graph.node if node.op_type == "Cast"}
    kept = [node for node in model.graph.node if node.op_type != "Cast"]
    for node in kept:
        for place, name in enumerate(node.input):
            while name in cast:
                name = cast[name]
            node.input[place] = name
    del model.graph.node[:]
    model.graph.node.extend(kept)
    return bytes(model.SerializeToString())


def test_a_published_reader_is_taken_over_exactly(tmp_path: Path) -> None:
    torch.manual_seed(3)
    published = _published()
    data = _onnx(published, tmp_path)
    crop = torch.randn(1, 3, 48, 144)
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    (wanted,) = session.run(None, {session.get_inputs()[0].name: (CONTRAST * crop).numpy()})
    with torch.no_grad():
        found = read_body(data)(crop)
    last = published[-1]
    assert isinstance(last, _Scaled)
    # the last factor is not taken: what follows the body learns its own
    torch.testing.assert_close(last.numbers[2].detach() * found, torch.from_numpy(wanted), rtol=1e-3, atol=1e-5)
    assert found.shape == (1, 480, 3, 36)


def test_another_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PretrainedError, match="operation 1 is Relu, not BatchNormalization"):
        read_body(_onnx(nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.ReLU()), tmp_path))
    with pytest.raises(PretrainedError, match="no ONNX file"):
        read_body(b"a photograph")


def test_what_is_written_is_a_folder_of_weights(tmp_path: Path) -> None:
    made = read_body(_onnx(_published(), tmp_path))
    write_body(made, b"source", tmp_path, TOLD)
    state = load_state(read_folder(tmp_path))
    assert set(state) == set(made.state_dict())


def test_the_committed_body_says_whose_it_is() -> None:
    model = read_folder(WEIGHTS / "body-ppocrv4")
    assert model.card["licence"] == "Apache-2.0"
    assert model.card["from_sha256"].startswith("48fc40f2")
    assert load_state(model)["1.around.weight"].shape == (16, 1, 3, 3)
    assert find_model("reader").name != model.name
