"""What training steps need beside the loss: which weights decay, the moving average, and whether bf16 pays."""

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from vision.device import gpu_dtype


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


def bf16_pays(
    network: nn.Module, device: torch.device, shape: tuple[int, int, int], loss: Callable[[Any], Tensor]
) -> bool:
    """Whether a training step is at least 15 % quicker under bf16 autocast, or is on a GPU that computes in bf16.

    Args:
        network: left in evaluation mode, without gradients.
        device: where it is.
        shape: pictures, height and width of the batches that are timed, on a processor.
        loss: of what the network gives.
    """
    if device.type == "cuda":
        return gpu_dtype(device) == torch.bfloat16
    pictures, height, width = shape
    inputs = torch.randn(pictures, 3, height, width).contiguous(memory_format=torch.channels_last)
    times = {}
    for half in (False, True):
        spent = []
        for _ in range(3):
            begin = time.perf_counter()
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                out = network.eval()(inputs)
            loss(out).backward()
            spent.append(time.perf_counter() - begin)
        times[half] = min(spent)
    for parameter in network.parameters():
        parameter.grad = None
    return times[True] * 1.15 < times[False]
