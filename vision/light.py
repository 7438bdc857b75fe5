"""Light evened out: crops as bytes in, numbers of comparable brightness and contrast out, on whatever device they lie.

Night, glare, dirt and infrared change a plate's mean and spread far more than its letters. Each crop's grey mean and
deviation are brought to 0 and 1; colours keep their relation, as they tell regions apart.
"""

import torch
from torch import Tensor

_BLUE, _GREEN, _RED = 0.114, 0.587, 0.299
"""Weights in grey."""
_FLOOR = 6.0
"""Grey levels added to the deviation: the noise of an almost even crop is not blown up."""
_LIMIT = 4.0


def even_light(crops: Tensor) -> Tensor:
    """B x 3 x H x W, BGR, 0..255 of any type -> float32 of the same shape, grey mean 0, deviation about 1, within 4."""
    pixels = crops.float()
    blue, green, red = pixels.unbind(1)
    # plane by plane, and the deviation from the squares: four to six times as fast on a processor as sum and std
    grey = torch.add(blue * _BLUE, green, alpha=_GREEN).add_(red, alpha=_RED).flatten(1)
    mean = grey.mean(1)
    deviation = (grey * grey).mean(1).sub_(mean * mean).clamp_(min=0.0).sqrt_()
    scale = 1.0 / (deviation + _FLOOR)
    return (pixels - mean.view(-1, 1, 1, 1)).mul_(scale.view(-1, 1, 1, 1)).clamp_(-_LIMIT, _LIMIT)
