"""The body of a text reader that has seen millions of real texts: pictures in, a grid of features out.

PP-LCNetV3 (Cui et al., *PP-LCNet*, 2021, arXiv:2109.15099, and its third version in PaddleOCR), as PP-OCRv4's mobile
recogniser uses it: each step looks around in every channel by itself, then mixes the channels in each place. Its
branches, norms and learnt scales are folded into plain convolutions, as they are for inference. Plates that anybody may
use for training are few; texts are many, and what tells an O from a D is learnt from them.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

STEM = 16
"""Channels after the first step, which halves both sides."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the body: channels in and out, the size of its look around, its strides down and across."""

    inputs: int
    outputs: int
    size: int
    stride: tuple[int, int] = (1, 1)
    squeezed: bool = False
    """Whether every channel is weighed by what the whole picture shows."""


STEPS = (
    Step(16, 32, 3),
    Step(32, 64, 3),
    Step(64, 64, 3),
    Step(64, 128, 3, (2, 1)),
    Step(128, 128, 3),
    Step(128, 240, 3, (1, 2)),
    Step(240, 240, 5),
    Step(240, 240, 5),
    Step(240, 240, 5),
    Step(240, 240, 5),
    Step(240, 480, 5, (2, 1), squeezed=True),
    Step(480, 480, 5, squeezed=True),
    Step(480, 480, 5, (2, 1)),
    Step(480, 480, 5),
)
"""From a half of the height and width to a sixteenth of the height and a quarter of the width."""
WIDTH = STEPS[-1].outputs
"""Channels of the grid that comes out."""
DOWN = 16
"""Rows of the picture per row of that grid."""
EARLY = 3
"""Steps after which colours and their places are still to be seen."""


def body() -> nn.Sequential:
    """B x 3 x H x W to B x 480 x H/16 x W/4; the stem and every step are one element each."""
    return nn.Sequential(nn.Conv2d(3, STEM, 3, 2, 1), *(Apart(step) for step in STEPS))


class Apart(nn.Module):
    """A look around in every channel, then a mix of the channels."""

    def __init__(self, step: Step) -> None:
        super().__init__()
        self.around = nn.Conv2d(step.inputs, step.inputs, step.size, step.stride, step.size // 2, groups=step.inputs)
        self.weighed = Squeeze(step.inputs) if step.squeezed else nn.Identity()
        self.mixed = nn.Conv2d(step.inputs, step.outputs, 1)
        self.shift = nn.Parameter(torch.zeros(()))
        """Not to be folded into the next step, whose border of zeros lies beside it."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.weighed(nn.functional.hardswish(self.around(x)))
        return nn.functional.hardswish(self.mixed(x)) + self.shift


class Weighed(nn.Module):
    """Each channel times a weight from 0 to 1 that the means of all channels decide (Hu et al., 2018)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fewer, self.gate = nn.Conv2d(width, width // 4, 1), nn.Conv2d(width // 4, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        gate = self.gate(torch.relu(self.fewer(x.mean(dim=(2, 3), keepdim=True))))
        return x * nn.functional.hardsigmoid(gate)


class Squeeze(Weighed):
    """The same after a learnt factor and summand for all channels."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.scale, self.shift = nn.Parameter(torch.ones(())), nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x * self.scale + self.shift)
