"""Pictures that stay on the device: uploaded once, letterboxed, straightened and turned there. Tensors in, tensors out.

What OpenCV does for pictures in memory (`vision.detector.shrink`, `vision.rectify.rectify`, the reader's other views)
is done here with torch on whatever device the tensors lie, to within the rounding of bytes. Only corners and scores,
and at the end the crops as evidence, come back.
"""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vision.rectify import MARGIN, Corners, crop_transform, plan_cut
from vision.types import Image

if TYPE_CHECKING:  # the detector builds on this module
    from vision.detector import Letterbox

_TOGETHER = 384
"""Parts of pictures up to this many pixels high and wide are sampled in one call; larger ones each alone."""


def upload(images: Sequence[Image], device: torch.device) -> list[Tensor]:
    """Each picture as H x W x 3 bytes on the device; one transfer per size of picture, from pinned memory to a GPU."""
    sizes: dict[tuple[int, ...], list[int]] = {}
    for number, image in enumerate(images):
        sizes.setdefault(image.shape, []).append(number)
    found: dict[int, Tensor] = {}
    for shape, members in sizes.items():
        staged = torch.empty((len(members), *shape), dtype=torch.uint8, pin_memory=device.type == "cuda")
        for slot, number in zip(staged.numpy(), members, strict=True):
            slot[:] = images[number]
        # torch keeps the pinned block until the copy is over
        found.update(zip(members, staged.to(device, non_blocking=True).unbind(0), strict=True))
    return [found[number] for number in range(len(images))]


def fetch(crops: Tensor) -> list[Image]:
    """N x H x W x 3 bytes as arrays in memory, in one transfer."""
    return list(crops.cpu().numpy())


@functools.lru_cache(maxsize=64)
def _taps(source: int, target: int, area: bool, device: torch.device) -> tuple[Tensor, Tensor]:
    """For each of `target` pixels the source pixels that it is made of, T x target, and their weights."""
    scale = source / target
    index = np.arange(target)
    if area:
        begin, end = index * scale, (index + 1) * scale
        places = np.floor(begin + 1e-9) + np.arange(int(np.ceil(scale)) + 1)[:, None]
        weights = np.clip(np.minimum(end, places + 1) - np.maximum(begin, places), 0, None) / scale
    else:
        middle = (index + 0.5) * scale - 0.5
        places = np.floor(middle) + np.arange(2)[:, None]
        weights = 1.0 - np.abs(middle - places)
    places = np.clip(places, 0, source - 1).astype(np.int64)
    return torch.from_numpy(places).to(device), torch.from_numpy(weights.astype(np.float32)).to(device)


def resized(pictures: Tensor, size: tuple[int, int], *, area: bool) -> Tensor:
    """B x H x W x C of any type to float32 of `size` (height, width), as OpenCV's INTER_AREA or INTER_LINEAR does.

    `area` is for shrinking only. Values keep their fractions.
    """
    for dim, target in ((1, size[0]), (2, size[1])):
        if pictures.shape[dim] != target:
            places, weights = _taps(pictures.shape[dim], target, area, pictures.device)
            form = (1, -1, 1, 1) if dim == 1 else (1, 1, -1, 1)
            parts = (
                pictures.index_select(dim, place) * weight.view(form)
                for place, weight in zip(places, weights, strict=True)
            )
            pictures = functools.reduce(Tensor.add_, parts)
    return pictures.float()


def evened(pictures: Tensor) -> Tensor:
    """B x H x W x 3 float32 to mean 0 per picture and channel, about unit spread: `vision.detector.normalise`."""
    variance, mean = torch.var_mean(pictures, dim=(1, 2), unbiased=False, keepdim=True)
    return (pictures - mean) / (variance.mean(dim=3, keepdim=True).sqrt() + 8.0)


def letterboxed(pictures: Sequence[Tensor], boxes: Sequence["Letterbox"], batch: Tensor) -> None:
    """Put each picture, H x W x 3 bytes, shrunk and evened into its slot of `batch`, N x 3 x height x width zeros."""
    sizes: dict[tuple[int, ...], list[int]] = {}
    for number, picture in enumerate(pictures):
        sizes.setdefault(tuple(picture.shape), []).append(number)
    for members in sizes.values():
        box = boxes[members[0]]
        together = torch.stack([pictures[number] for number in members])
        small = evened(resized(together, (box.inner_height, box.inner_width), area=box.by_area))
        for slot, number in zip(small.permute(0, 3, 1, 2), members, strict=True):
            batch[number, :, : box.inner_height, : box.inner_width] = slot


@dataclass(frozen=True, slots=True)
class _Patch:
    """Where one crop comes from: a part of a picture and the homography from the crop's pixels to the part's."""

    pixels: Tensor
    """H x W x 3, of bytes or float32."""
    back: NDArray[np.float64]


def rectified(
    pictures: Sequence[Tensor], corners: Sequence[Sequence[Corners]], size: tuple[int, int], margin: float = MARGIN
) -> Tensor:
    """As `vision.rectify.rectify`, all plates of all pictures: N x height x width x 3 bytes on the pictures' device."""
    patches = [
        _patch(picture, quad, size, margin) for picture, quads in zip(pictures, corners, strict=True) for quad in quads
    ]
    if not patches:
        device = pictures[0].device if pictures else None
        return torch.empty((0, *size, 3), dtype=torch.uint8, device=device)
    crops = torch.empty((len(patches), *size, 3), dtype=torch.uint8, device=patches[0].pixels.device)
    for members in _batches(patches):
        crops[members] = _sampled([patches[number] for number in members], size)
    return crops


def _patch(picture: Tensor, quad: Corners, size: tuple[int, int], margin: float) -> _Patch:
    height, width = picture.shape[:2]
    cut = plan_cut(width, height, quad, size)
    if cut is not None:
        part = picture[None, cut.top : cut.bottom, cut.left : cut.right]
        picture = resized(part, (cut.height, cut.width), area=True)[0].round_()
        height, width, quad = cut.height, cut.width, cut.corners
    back = np.asarray(np.linalg.inv(crop_transform(quad, size, margin)), np.float64)
    left, top, right, bottom = _reach(back, size, width, height)
    shift = np.array([[1.0, 0.0, -left], [0.0, 1.0, -top], [0.0, 0.0, 1.0]])
    return _Patch(picture[top:bottom, left:right], shift @ back)


def _reach(back: NDArray[np.float64], size: tuple[int, int], width: int, height: int) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the pixels of a width x height picture that a crop needs."""
    ends = np.array([[0, 0, 1], [size[1] - 1, 0, 1], [0, size[0] - 1, 1], [size[1] - 1, size[0] - 1, 1]]) @ back.T
    if ends[:, 2].min() <= 0 < ends[:, 2].max():
        return 0, 0, width, height  # corners so askew that the horizon crosses the crop
    points = ends[:, :2] / ends[:, 2:]
    low = np.clip(np.floor(points.min(axis=0)), 0, [width - 1, height - 1]).astype(int)
    high = np.clip(np.floor(points.max(axis=0)) + 2, low + 1, [width, height]).astype(int)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def _batches(patches: Sequence[_Patch]) -> Iterator[list[int]]:
    """Numbers of the patches of each call: to pad all to the size of a huge one would take its memory many times."""
    small = [number for number, patch in enumerate(patches) if max(patch.pixels.shape[:2]) <= _TOGETHER]
    if small:
        yield small
    yield from ([number] for number in sorted(set(range(len(patches))) - set(small)))


def _sampled(patches: Sequence[_Patch], size: tuple[int, int]) -> Tensor:
    """Crops of `size` from patches of any sizes: N x height x width x 3 bytes."""
    high, wide = (max(patch.pixels.shape[dim] for patch in patches) for dim in (0, 1))
    device = patches[0].pixels.device
    sources = torch.zeros((len(patches), high, wide, 3), device=device)
    for slot, patch in zip(sources, patches, strict=True):
        slot[: patch.pixels.shape[0], : patch.pixels.shape[1]] = patch.pixels
    ends = [[patch.pixels.shape[1] - 1.0, patch.pixels.shape[0] - 1.0, 0.0] for patch in patches]
    facts = np.concatenate([np.stack([patch.back for patch in patches]), np.array(ends)[:, None]], axis=1)
    placed = torch.from_numpy(facts.astype(np.float32)).to(device)
    return _warped(sources.permute(0, 3, 1, 2), placed[:, :3], placed[:, 3, :2], size)


def _warped(sources: Tensor, back: Tensor, ends: Tensor, size: tuple[int, int]) -> Tensor:
    """Sample B x 3 x H x W where the homographies B x 3 x 3 send the pixels of `size`; beyond `ends` edges repeat.

    `ends` is B x 2, the last column and row of each source that hold its pixels.
    """
    device, (high, wide) = sources.device, sources.shape[2:]
    y, x = torch.meshgrid(
        torch.arange(size[0], dtype=torch.float32, device=device),
        torch.arange(size[1], dtype=torch.float32, device=device),
        indexing="ij",
    )
    pixels = torch.stack([x.flatten(), y.flatten(), torch.ones(x.numel(), device=device)])
    seen = back @ pixels
    places = (seen[:, :2] / seen[:, 2:]).nan_to_num_().transpose(1, 2)
    places = torch.minimum(places.clamp(min=0.0), ends[:, None])
    # -1 and 1 are the middles of the outermost pixels
    grid = places * (2.0 / torch.tensor([max(wide - 1, 1), max(high - 1, 1)], device=device)) - 1.0
    crops = torch.nn.functional.grid_sample(
        sources, grid.view(-1, *size, 2), mode="bilinear", padding_mode="border", align_corners=True
    )
    return crops.round_().clamp_(0, 255).to(torch.uint8).permute(0, 2, 3, 1)


def turned(crops: Tensor, matrices: NDArray[np.float32]) -> Tensor:
    """Each crop, N x H x W x 3 bytes, moved by each of V affine matrices, V x 2 x 3: N * V x H x W x 3, views together.

    A matrix sends pixels of the crop to pixels of the view, as in `cv2.warpAffine`; outside edges repeat.
    """
    count, (height, width) = len(crops), crops.shape[1:3]
    square = np.concatenate([matrices, np.tile([[[0.0, 0.0, 1.0]]], (len(matrices), 1, 1))], axis=1)
    back = torch.from_numpy(np.linalg.inv(square).astype(np.float32)).to(crops.device).repeat(count, 1, 1)
    sources = crops.permute(0, 3, 1, 2).float().repeat_interleave(len(matrices), dim=0)
    ends = torch.tensor([[width - 1.0, height - 1.0]], device=crops.device)
    return _warped(sources, back, ends.expand(len(sources), 2), (height, width))
