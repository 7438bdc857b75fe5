"""What training steps need beside the loss: which weights decay, the moving average, and whether bf16 pays."""

import time
from typing import Any

import torch
from torch import nn

from vision.reader import CROP_SIZE


def weight_groups(
    network: nn.Module, weight_decay: float, body_rate: float = 1.0, body: str = "body."
) -> list[dict[str, Any]]:
    """Decay the weights of convolutions and linear layers; leave biases, norms and the row slots alone.

    Each group says under `share` what part of the learning rate is its own: `body_rate` for the body, whose weights'
    names begin with `body`, 1 for the rest.
    """
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, weights in network.named_parameters():
        decayed = weights.ndim >= 3 or (weights.ndim == 2 and weights.shape[0] > 2)
        groups.setdefault((name.startswith(body), decayed), []).append(weights)
    return [
        {"params": weights, "weight_decay": weight_decay * decayed, "share": body_rate if of_body else 1.0}
        for (of_body, decayed), weights in groups.items()
    ]


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, keep: float) -> None:
    """Move the averaged weights towards the network's; counts and statistics likewise."""
    for mean, now in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
        if mean.is_floating_point():
            mean.lerp_(now, 1 - keep)
        else:
            mean.copy_(now)


def bf16_pays(network: nn.Module, device: torch.device) -> bool:
    """Time a few steps with and without bf16 autocast; True when it is at least 15 % quicker, or a GPU has it."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    inputs = torch.randn(16, 3, *CROP_SIZE).contiguous(memory_format=torch.channels_last)
    times = {}
    for half in (False, True):
        spent = []
        for _ in range(3):
            begin = time.perf_counter()
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                out = network.eval()(inputs)
            out.logits.float().sum().backward()
            spent.append(time.perf_counter() - begin)
        times[half] = min(spent)
    for parameter in network.parameters():
        parameter.grad = None
    return times[True] * 1.15 < times[False]
