"""The body of a text detector that has seen many scenes with text: whole pictures in, grids of features out.

PP-LCNetV4 (Cui et al., *PP-OCRv6*, 2026, arXiv:2606.13108), as PP-OCRv6's smallest detector uses it: each block looks
around in every channel by itself, then mixes the channels in each place twice over. Two things differ from what was
published, because they cost most of its time on a processor: its stem of branches is one plain path, and its GELU is a
hard swish of much the same shape; `vision/training/pretrained_detector.py` fits both to say what the published say.
Photographs in which every plate is marked are few; what tells writing from grilles and lamps is learnt from texts.
"""

from torch import Tensor, nn

from vision.lcnet import Weighed

STEM = 16
"""Channels at a half of the height and width."""
WIDTHS = (32, 48, 64, 160)
"""Channels at a quarter of the height and width, an eighth, a sixteenth and a thirty-second."""
BLOCKS = (2, 2, 4, 2)
"""Blocks of each of these stages; every other one, from the first on, weighs its channels."""
STEEPER = 1.9
"""A hard swish of so many times x, over so many, is nearest to GELU: 0.03 from it, root mean square, for normal x."""


def stages() -> list[nn.Sequential]:
    """Four stages, one after the other: B x 3 x H x W to B x `WIDTHS[i]` x H/2^(2+i) x W/2^(2+i)."""
    made = [nn.Sequential(Stem(), *_blocks(0))]
    for number in (1, 2, 3):
        made.append(nn.Sequential(Down(WIDTHS[number - 1], WIDTHS[number]), *_blocks(number)))
    return made


def _blocks(stage: int) -> list[nn.Module]:
    return [Block(WIDTHS[stage], weighed=number % 2 == 0) for number in range(BLOCKS[stage])]


class Stem(nn.Sequential):
    """To a quarter of the height and width in two steps."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, STEM, 3, 2, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(STEM, STEM, 4, 2, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(STEM, WIDTHS[0], 1),
            nn.ReLU(inplace=True),
        )


class Block(nn.Module):
    """A look around in every channel, then a mix of the channels that is added to it."""

    def __init__(self, width: int, *, weighed: bool) -> None:
        super().__init__()
        self.around = nn.Conv2d(width, width, 3, 1, 1, groups=width)
        self.weighed = Weighed(width) if weighed else nn.Identity()
        self.mixed = Mix(width, 2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        x = self.weighed(self.around(x))
        return x + self.mixed(x)


class Down(nn.Module):
    """A look around at every other place, then a mix of the channels into more of them."""

    def __init__(self, width: int, wider: int) -> None:
        super().__init__()
        self.around = nn.Conv2d(width, width, 3, 2, 1, groups=width)
        self.mixed = Mix(width, 2 * width, wider)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.mixed(self.around(x))
        return out


class Mix(nn.Sequential):
    """In each place: channels to more of them, a bend, and back to fewer."""

    def __init__(self, inputs: int, inner: int, outputs: int) -> None:
        super().__init__(nn.Conv2d(inputs, inner, 1), nn.Hardswish(inplace=True), nn.Conv2d(inner, outputs, 1))
