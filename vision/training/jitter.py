"""Cheap changes of crops, made by torch anew at each draw from the replay buffer: crops in, slightly others out."""

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from vision.reader import CROP_SIZE


def jitter(inputs: Tensor, rng: np.random.Generator) -> Tensor:
    """Cheap changes on each draw from the buffer: contrast, shift of colours, noise, a blotted patch."""
    count = len(inputs)
    gain = torch.from_numpy(rng.uniform(0.8, 1.25, (count, 1, 1, 1)).astype(np.float32)).to(inputs.device)
    shift = torch.from_numpy(rng.normal(0, 0.12, (count, 3, 1, 1)).astype(np.float32)).to(inputs.device)
    noise = torch.from_numpy(rng.uniform(0, 0.12, (count, 1, 1, 1)).astype(np.float32)).to(inputs.device)
    out = inputs * gain + shift + _grain(inputs, rng) * noise
    for k in np.flatnonzero(rng.random(count) < 0.15):
        y, x = int(rng.integers(0, CROP_SIZE[0] - 8)), int(rng.integers(0, CROP_SIZE[1] - 10))
        out[k, :, y : y + int(rng.integers(3, 9)), x : x + int(rng.integers(3, 10))] = float(rng.normal())
    return out.contiguous(memory_format=torch.channels_last)


@lru_cache(maxsize=1)
def _grains(device: torch.device) -> Tensor:
    """A store of normal numbers: drawing them anew for each batch would take a tenth of the training's time."""
    return torch.randn(1 << 22, generator=torch.Generator().manual_seed(0)).to(device)


def _grain(like: Tensor, rng: np.random.Generator) -> Tensor:
    """Normal noise of the shape of `like`: a stretch of the store from a random place on."""
    store = _grains(like.device)
    count = like.numel()
    begin = int(rng.integers(0, len(store) - count)) if count < len(store) else 0
    wanted = store[begin : begin + count] if count < len(store) else torch.randn(count, device=like.device)
    batch, channels, height, width = like.shape
    return wanted.view(batch, height, width, channels).permute(0, 3, 1, 2)
