"""Light evened out: crops as bytes in, numbers of comparable brightness and contrast out, on whatever device they lie.

Night, glare, dirt and infrared change a plate's mean and spread far more than its letters. Each crop's grey mean and
deviation are brought to 0 and 1; colours keep their relation, as they tell regions apart.
"""

import torch
from torch import Tensor

_GREY = (0.114, 0.587, 0.299)
"""Weights of blue, green and red in grey."""
_FLOOR = 6.0
"""Grey levels added to the deviation: the noise of an almost even crop is not blown up."""
_LIMIT = 4.0


def even_light(crops: Tensor) -> Tensor:
    """B x 3 x H x W, BGR, 0..255 of any type -> float32 of the same shape, grey mean 0, deviation about 1, within 4."""
    pixels = crops.float()
    weights = torch.tensor(_GREY, device=pixels.device).view(1, 3, 1, 1)
    grey = (pixels * weights).sum(dim=1, keepdim=True)
    mean = grey.mean(dim=(2, 3), keepdim=True)
    deviation = grey.std(dim=(2, 3), keepdim=True, unbiased=False)
    return ((pixels - mean) / (deviation + _FLOOR)).clamp_(-_LIMIT, _LIMIT)
