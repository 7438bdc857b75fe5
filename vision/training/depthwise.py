"""Depthwise convolutions whose training does not stand still on a processor: a network in, the same network out.

oneDNN takes ten times as long for the gradient of 5 x 5 weights as for that of 3 x 3 ones, and as long again for what
goes back through a stride: more than for everything else in a step. But four squares of 3 x 3 cover one of 5 x 5, and
the gradient of each is that of a 3 x 3 convolution of the same picture, moved; and a stride is a convolution of which
some results are thrown away, whose gradients are nothing.
"""

from typing import Any

import torch
from torch import Tensor, nn


def quicken(network: nn.Module) -> None:
    """Let a network's depthwise convolutions of 3 x 3 and 5 x 5 go back on the quick way; they stay what they are."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.groups == module.in_channels > 1:
            module.forward = _Quick(module)  # type: ignore[method-assign,assignment]


class _Quick:
    def __init__(self, convolution: nn.Conv2d) -> None:
        self._of = convolution

    def __call__(self, x: Tensor) -> Tensor:
        of = self._of
        weight, bias = of.weight, of.bias
        assert bias is not None
        if torch.is_autocast_enabled(x.device.type):
            kind = torch.get_autocast_dtype(x.device.type)
            x, weight, bias = x.to(kind), weight.to(kind), bias.to(kind)
        out: Tensor = _Depthwise.apply(x, weight, bias, of.stride)
        return out


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, stride: tuple[int, int]) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride = stride
        return nn.functional.conv2d(x, weight, bias, stride, weight.shape[-1] // 2, 1, x.shape[1])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor, Tensor, None]:
        x, weight = ctx.saved_tensors
        gradient, (down, across) = gradients[0], ctx.stride
        to_bias = gradient.sum(dim=(0, 2, 3))
        if (down, across) != (1, 1):
            whole = torch.zeros_like(x)
            whole[:, :, ::down, ::across] = gradient
            gradient = whole
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        border = weight.shape[-1] // 2
        to_x = _back(gradient, x, weight, border, to_x=True) if ctx.needs_input_grad[0] else None
        return to_x, _to_weight(gradient, x, weight, border), to_bias, None


def _to_weight(gradient: Tensor, x: Tensor, weight: Tensor, border: int) -> Tensor:
    if border == 1:
        return _back(gradient, x, weight, border, to_x=False)
    height, width = (side + 2 for side in gradient.shape[2:])
    wide, square = nn.functional.pad(x, [border] * 4), weight[:, :, :3, :3].contiguous()
    found = torch.empty_like(weight)
    for down in (0, 2):
        for across in (0, 2):
            window = wide[:, :, down : down + height, across : across + width]
            window = window.contiguous(memory_format=torch.channels_last)
            found[:, :, down : down + 3, across : across + 3] = _back(gradient, window, square, 0, to_x=False)
    return found


def _back(gradient: Tensor, x: Tensor, weight: Tensor, border: int, *, to_x: bool) -> Tensor:
    channels = x.shape[1]
    found: tuple[Tensor, Tensor, Tensor] = torch.ops.aten.convolution_backward(
        gradient, x, weight, [channels], [1, 1], [border] * 2, [1, 1], False, [0, 0], channels, [to_x, not to_x, False]
    )
    return found[0 if to_x else 1]
