"""The detector's loss: raw outputs and a batch's targets in, three numbers out.

Heat: focal loss, softened around each plate; where other detectors teach, also how far it is from what they say. Box:
1 - GIoU plus a scale-free L1. Corners: L1 in units of the box, only where the four corners are known; where just the
box is, the box alone teaches.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vision.detector import boxes_and_corners
from vision.training.detector_data import Batch


@dataclass(frozen=True, slots=True)
class Loss:
    """The sum to go down, and its parts for the log."""

    total: Tensor
    heat: float
    box: float
    corner: float


def detector_loss(
    heat: Tensor, geometry: Tensor, batch: Batch, *, sure: bool, told: Tensor | None = None, taught: float = 0.0
) -> Loss:
    """`heat` B x h x w logits, `geometry` B x 12 x h x w, float32. With `sure`, a confident extra plate in a picture
    whose annotation is partial is no longer held against the network. `told` B x h x w is the heat, 0 to 1, that other
    detectors give, and `taught` its share of the heat's loss."""
    device = heat.device
    heat_part = _focal(heat, batch, sure)
    if told is not None:
        heat_part = (1 - taught) * heat_part + taught * _away(heat, told)
    if not len(batch.cells):
        return Loss(heat_part, float(heat_part.detach()), 0.0, 0.0)
    picture, row, column = _on(batch.cells, device).unbind(1)
    boxes, corners = boxes_and_corners(geometry[picture, :, row, column], column, row)
    wanted = _within_slack(boxes.detach(), _on(batch.boxes, device), _on(batch.slack, device))
    box_weight, corner_weight = _on(batch.box_weight, device), _on(batch.corner_weight, device)
    sizes = wanted[:, 2:]
    shift = ((boxes[:, :2] - wanted[:, :2]) / sizes).abs().sum(1) + (boxes[:, 2:] / sizes).log().abs().sum(1)
    box_part = ((1 - _giou(boxes, wanted) + 0.5 * shift) * box_weight).sum() / box_weight.sum().clamp(min=1)
    bend = (corners - _on(batch.corners, device)).abs().mean((1, 2))
    corner_part = (bend * corner_weight).sum() / corner_weight.sum().clamp(min=1)
    total = heat_part + box_part + 4.0 * corner_part  # what is read hangs on the corners
    return Loss(total, float(heat_part.detach()), float(box_part.detach()), float(corner_part.detach()))


def _within_slack(boxes: Tensor, wanted: Tensor, slack: Tensor) -> Tensor:
    """`wanted` with each edge moved towards that of `boxes`: inwards by at most `slack`, outwards by a third of it.

    N x 4, middle and size; `slack` is N x 2 in units of the width and the height.
    """
    low, high = wanted[:, :2] - wanted[:, 2:] / 2, wanted[:, :2] + wanted[:, 2:] / 2
    inwards = wanted[:, 2:] * slack
    outwards = inwards / 3
    low = low + (boxes[:, :2] - boxes[:, 2:] / 2 - low).clamp(min=-outwards, max=inwards)
    high = high + (boxes[:, :2] + boxes[:, 2:] / 2 - high).clamp(min=-inwards, max=outwards)
    return torch.cat([(low + high) / 2, high - low], dim=1)


def _focal(heat: Tensor, batch: Batch, sure: bool) -> Tensor:
    wanted, weight = _on(batch.heat, heat.device), _on(batch.weight, heat.device)
    p = heat.sigmoid().clamp(1e-5, 1 - 1e-5)
    if sure:
        # badges and lamps, which are wrong, seldom get that sure; plates that nobody annotated do
        partial = _on(batch.partial, heat.device)[:, None, None]
        weight = torch.where(partial & (p.detach() > 0.8) & (wanted < 0.05), 0.2 * weight, weight)
    peak = wanted > 0.999
    found = -((1 - p) ** 2 * p.log()) * peak
    calm = -((1 - wanted) ** 4 * p**2 * (1 - p).log()) * ~peak
    return ((found + calm) * weight).sum() / max(1.0, float(peak.sum()))


def _away(heat: Tensor, told: Tensor) -> Tensor:
    """Quality focal loss (Li et al., 2020, arXiv:2006.04388), over as many plates as are told."""
    distance = (heat.sigmoid() - told).abs()
    entropy = torch.nn.functional.binary_cross_entropy_with_logits(heat, told, reduction="none")
    return (distance**2 * entropy).sum() / told.amax(dim=(1, 2)).sum().clamp(min=1)


def _giou(a: Tensor, b: Tensor) -> Tensor:
    """Generalised overlap of boxes N x 4 (middle, size) pair by pair, -1..1."""
    a0, a1 = a[:, :2] - a[:, 2:] / 2, a[:, :2] + a[:, 2:] / 2
    b0, b1 = b[:, :2] - b[:, 2:] / 2, b[:, :2] + b[:, 2:] / 2
    common = (torch.minimum(a1, b1) - torch.maximum(a0, b0)).clamp(min=0).prod(1)
    union = a[:, 2:].prod(1) + b[:, 2:].prod(1) - common
    hull = (torch.maximum(a1, b1) - torch.minimum(a0, b0)).prod(1)
    return common / union.clamp(min=1e-6) - (hull - union) / hull.clamp(min=1e-6)


def _on(array: NDArray[np.float32] | NDArray[np.int64] | NDArray[np.bool_], device: torch.device) -> Tensor:
    return torch.from_numpy(array).to(device)
