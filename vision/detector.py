"""The plate detector: pictures of any sizes come in, plates with four corners and a confidence go out.

One small fully convolutional network looks at the whole picture, letterboxed so that it holds about as many pixels as
768 x 448 whatever its aspect. On a grid of one cell per 8 x 8 pixels it says how likely a plate's middle lies in the
cell, where the plate's upright box is, and where in that box its four corners sit. Corners are stretched to touch all
four sides of the box, so box and corners always agree.
"""

import copy
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, get_args

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vision import lcnet4
from vision.device import Placement, place
from vision.graphs import Replayed
from vision.registry import ModelError, ModelFolder, load_weights, one_of, read_folder
from vision.resident import evened, letterboxed
from vision.types import Detection, Image

STRIDE = 8
"""Pixels of network input per cell of the output grid."""
ALIGN = 32
"""Network inputs are multiples of this many pixels on both sides."""
DEFAULT_TILES = 336
"""Size of the input in tiles of 32 x 32: 336 is 768 x 448."""
_MAX_UPSCALE = 2.0
_CANDIDATES = 120

BodyKind = Literal["plain", "lcnet4"]


@dataclass(frozen=True, slots=True)
class Architecture:
    """Channels per stage (strides 4 to 32), residual blocks per stage, channels of the neck.

    Five widths are the first design, detector-v1: a stem of two steps (strides 2 and 4) and a full last join.
    """

    widths: tuple[int, ...] = (32, 48, 96, 128)
    blocks: tuple[int, ...] = (0, 2, 2, 2)
    neck: int = 48
    inner: tuple[int, ...] = ()
    """Channels inside each residual block at strides 16 and 32, as pruning leaves them; empty: half its stage's."""
    body: BodyKind = "plain"
    """`plain` has `widths` and `blocks`; `lcnet4` is that of a published text detector (`vision.lcnet4`)."""


def _stages(architecture: Architecture) -> tuple[list[nn.Sequential], Sequence[int]]:
    """What looks at the picture at strides 4, 8, 16 and 32, and the channels of each."""
    if architecture.body == "lcnet4":
        return lcnet4.stages(), lcnet4.WIDTHS
    w, n, early = architecture.widths[-4:], architecture.blocks, architecture.widths[0]
    # one step of 6 x 6 to a quarter of the size: the rows of large pictures are what costs time
    two_steps = len(architecture.widths) == 5
    stem = (_conv(3, early, 3, 2), _conv(early, w[0], 3, 2)) if two_steps else (_conv(3, w[0], 6, 4, 1),)
    inner = architecture.inner or (w[2] // 2,) * n[2] + (w[3] // 2,) * n[3]
    made = [
        nn.Sequential(*stem, *(_Slim(w[0]) for _ in range(n[0]))),
        nn.Sequential(_conv(w[0], w[1], 3, 2), *(_Slim(w[1]) for _ in range(n[1]))),
        nn.Sequential(_conv(w[1], w[2], 3, 2), *(Residual(w[2], i) for i in inner[: n[2]])),
        nn.Sequential(_conv(w[2], w[3], 3, 2), *(Residual(w[3], i) for i in inner[n[2] :])),
    ]
    return made, w


class DetectorNet(nn.Module):
    """B x 3 x H x W (normalised BGR) to the heat logits B x H/8 x W/8 and the geometry B x 12 x H/8 x W/8."""

    def __init__(self, architecture: Architecture = Architecture()) -> None:
        super().__init__()
        neck, first = architecture.neck, len(architecture.widths) == 5
        (self.stride4, self.stride8, self.stride16, self.stride32), w = _stages(architecture)
        self.from32, self.from16, self.from8 = _conv(w[3], neck, 1), _conv(w[2], neck, 1), _conv(w[1], neck, 1)
        self.join16 = _conv(neck, neck)
        self.join8 = _conv(neck, neck) if first else _Slim(neck)
        self.heat = nn.Conv2d(neck, 1, 1)
        self.geometry = nn.Conv2d(neck, 12, 1)
        nn.init.constant_(self.heat.bias, -4.6)  # type: ignore[arg-type]  # plates are rare: start at 1 %
        with torch.no_grad():
            # start at a plate of 8 x 3 cells whose corners are the corners of its box
            start = [0.0, 0.0, 2.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0, 1.0]
            self.geometry.bias.copy_(torch.tensor(start))  # type: ignore[union-attr]

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        at8 = self.stride8(self.stride4(pictures))
        at16 = self.stride16(at8)
        at32 = self.stride32(at16)
        joined16 = self.join16(_double(self.from32(at32)) + self.from16(at16))
        joined8 = self.join8(_double(joined16) + self.from8(at8))
        return self.heat(joined8)[:, 0], self.geometry(joined8)


class Residual(nn.Module):
    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.body = nn.Sequential(_conv(width, inner), _conv(inner, width))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class _Slim(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        half = width // 2
        self.body = nn.Sequential(_conv(width, half, 1), _conv(half, half), _conv(half, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


def _conv(inputs: int, outputs: int, size: int = 3, stride: int = 1, border: int | None = None) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, size, stride, size // 2 if border is None else border, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


def _double(x: Tensor) -> Tensor:
    return nn.functional.interpolate(x, scale_factor=2.0, mode="nearest")


def fuse(network: nn.Module) -> nn.Module:
    """Fold every batch norm into its convolution, in place; the network must be in eval mode and stay there."""
    for module in network.modules():
        if isinstance(module, nn.Sequential) and len(module) == 3 and isinstance(module[1], nn.BatchNorm2d):
            convolution = module[0]
            assert isinstance(convolution, nn.Conv2d)
            module[0] = torch.nn.utils.fusion.fuse_conv_bn_eval(convolution, module[1])
            module[1] = nn.Identity()
    return network


@dataclass(frozen=True, slots=True)
class Letterbox:
    """How a picture lies on the network's input: scaled by (`scale_x`, `scale_y`), from the top left corner on."""

    height: int
    width: int
    scale_x: float
    scale_y: float
    inner_height: int
    inner_width: int

    @property
    def by_area(self) -> bool:
        """Whether the picture is shrunk by area: linear is exact averaging at a half and quick; below that it would
        alias thin strokes away."""
        return self.scale_x < 0.45

    def to_picture(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """Points (..., 2) on the input to pixels of the picture."""
        return (points / np.array([self.scale_x, self.scale_y], np.float32)).astype(np.float32)


@functools.lru_cache(maxsize=256)
def letterbox(width: int, height: int, tiles: int = DEFAULT_TILES) -> Letterbox:
    """The input shape of at most `tiles` tiles of 32 x 32 that shows a width x height picture largest."""
    best: tuple[float, int, int, int] | None = None
    for rows in range(1, tiles + 1):
        columns = tiles // rows
        scale = min(rows * ALIGN / height, columns * ALIGN / width, _MAX_UPSCALE)
        # no more tiles than this scale fills: the rest would be empty work
        rows_used = max(1, -(-round(height * scale) // ALIGN))
        columns_used = max(1, -(-round(width * scale) // ALIGN))
        found = (scale, -rows_used * columns_used, rows_used, columns_used)
        if best is None or found > best:
            best = found
    assert best is not None
    scale, _, rows, columns = best
    inner_width = min(columns * ALIGN, max(1, round(width * scale)))
    inner_height = min(rows * ALIGN, max(1, round(height * scale)))
    return Letterbox(
        rows * ALIGN, columns * ALIGN, inner_width / width, inner_height / height, inner_height, inner_width
    )


def shrink(image: Image, box: Letterbox, made: Image | None = None) -> Image:
    """The picture at the size that it has on the network's input, without the border; in `made` where that is given."""
    if image.shape[:2] == (box.inner_height, box.inner_width):
        if made is None:
            return image
        made[:] = image
        return made
    way = cv2.INTER_AREA if box.by_area else cv2.INTER_LINEAR
    return cv2.resize(image, (box.inner_width, box.inner_height), made, interpolation=way)  # type: ignore[return-value]


def normalise(picture: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """H x W x 3 uint8 to 3 x H x W with mean 0 per channel and about unit spread: evens out night, haze and casts.

    Training and inference share this; the border of a letterbox is zero, the picture's own mean.
    """
    if picture.device.type == "cpu":
        made = torch.empty(picture.shape)
        normalise_into(picture.numpy(), made)
        return made.to(dtype).permute(2, 0, 1)
    return evened(picture[None].float())[0].to(dtype).permute(2, 0, 1)


def normalise_into(picture: Image, made: Tensor) -> None:
    """The same on a processor, into H x W x 3 float32 whose rows may lie apart: a batch is filled without a copy."""
    # OpenCV goes over the bytes once for what would be three passes of torch
    mean, gain = light_of(picture)
    middle = (*mean.tolist(), 0.0)
    cv2.subtract(picture, middle, made.numpy(), dtype=cv2.CV_32F)  # type: ignore[call-overload]
    made.mul_(gain)


def light_of(picture: Image) -> tuple[NDArray[np.float64], float]:
    """What `normalise` takes from each channel of H x W x 3 bytes, and what it multiplies the rest by."""
    mean, deviation = cv2.meanStdDev(picture)
    return np.asarray(mean[:, 0], np.float64), 1.0 / (float((deviation**2).mean()) ** 0.5 + 8.0)


def boxes_and_corners(geometry: Tensor, column: Tensor, row: Tensor) -> tuple[Tensor, Tensor]:
    """N x 12 raw geometry at N cells to upright boxes N x 4 (middle x, y, width, height) and raw box-relative corners.

    Boxes are in input pixels; corners N x 4 x 2 are in units of the box, (0, 0) its top left, (1, 1) its bottom right.
    """
    x = (column + 0.5 + geometry[:, 0]) * STRIDE
    y = (row + 0.5 + geometry[:, 1]) * STRIDE
    size = geometry[:, 2:4].clamp(-3.0, 5.0).exp() * STRIDE
    return torch.cat([x[:, None], y[:, None], size], dim=1), geometry[:, 4:].reshape(-1, 4, 2)


def stretch(boxes: NDArray[np.float32], relative: NDArray[np.float32]) -> NDArray[np.float32]:
    """Boxes N x 4 and box-relative corners N x 4 x 2 to corners N x 4 x 2 in pixels that touch all sides of the box."""
    low, high = relative.min(axis=1, keepdims=True), relative.max(axis=1, keepdims=True)
    unit = (relative - low) / np.maximum(high - low, 1e-3)
    # four points that enclose too little are no plate's corners: fall back on the box itself
    thin = _areas(unit) < 0.25
    unit[thin] = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    return (boxes[:, None, :2] + (unit - 0.5) * boxes[:, None, 2:]).astype(np.float32)


def _areas(quads: NDArray[np.float32]) -> NDArray[np.float32]:
    """Signed areas of quadrangles N x 4 x 2, positive when clockwise on the screen."""
    following = np.roll(quads, -1, axis=1)
    return ((quads[..., 0] * following[..., 1] - following[..., 0] * quads[..., 1]).sum(axis=1) / 2).astype(np.float32)


def suppress(boxes: NDArray[np.float32], scores: NDArray[np.float32], overlap: float) -> list[int]:
    """Indices that stay, best first: a box is dropped when it overlaps a better one by more than `overlap` (IoU),
    or lies for the most part inside one."""
    x0, y0 = boxes[:, 0] - boxes[:, 2] / 2, boxes[:, 1] - boxes[:, 3] / 2
    x1, y1 = x0 + boxes[:, 2], y0 + boxes[:, 3]
    area = boxes[:, 2] * boxes[:, 3]
    order, kept = np.argsort(-scores, kind="stable"), []
    while len(order):
        best, rest = order[0], order[1:]
        kept.append(int(best))
        wide = np.minimum(x1[best], x1[rest]) - np.maximum(x0[best], x0[rest])
        high = np.minimum(y1[best], y1[rest]) - np.maximum(y0[best], y0[rest])
        common = np.maximum(wide, 0) * np.maximum(high, 0)
        iou = common / np.maximum(area[best] + area[rest] - common, 1e-6)
        inside = common / np.maximum(np.minimum(area[best], area[rest]), 1e-6)
        order = rest[(iou <= overlap) & (inside <= 0.8)]
    return kept


_BYTES = (np.dtype(np.uint8), torch.uint8)
Forward = Callable[..., tuple[Tensor, Tensor]]
"""What `Prepare` makes to heat and geometry, as `DetectorNet` gives them."""
Prepare = Callable[[Sequence[Image | Tensor], Sequence[Letterbox], Placement], tuple[Any, ...]]
"""Pictures of one input shape, where each lies on its input, and where the network is, to what the network takes."""


def as_floats(pictures: Sequence[Image | Tensor], boxes: Sequence[Letterbox], placement: Placement) -> tuple[Tensor]:
    """`Prepare` for a network that takes B x 3 x H x W, evened out; raises `ValueError` for arrays beside tensors."""
    resident = [picture for picture in pictures if isinstance(picture, Tensor)]
    if 0 < len(resident) < len(pictures):
        raise ValueError(
            f"{len(resident)} of {len(pictures)} pictures are tensors; give all of them as one or as arrays"
        )
    device, dtype = placement.device, placement.dtype
    shape = (len(pictures), boxes[0].height, boxes[0].width, 3)
    # on a processor the border alone is cleared: clearing all costs what a network's layer costs
    make = torch.empty if device.type == "cpu" else torch.zeros
    batch = make(shape, dtype=dtype, device=device).permute(0, 3, 1, 2)
    letterboxed(resident, boxes, batch)
    for slot, picture, box in zip(batch, pictures, boxes, strict=True):
        inner = slot[:, : box.inner_height, : box.inner_width]
        if not isinstance(picture, Tensor):
            small = np.ascontiguousarray(shrink(picture, box))
            if device.type == "cpu" and dtype == torch.float32:
                normalise_into(small, inner.permute(1, 2, 0))
            else:
                inner[:] = normalise(torch.from_numpy(small).to(device), dtype)
        if device.type == "cpu":
            slot[:, box.inner_height :] = 0
            slot[:, :, box.inner_width :] = 0
    return (batch,)


def as_bytes(
    pictures: Sequence[Image | Tensor], boxes: Sequence[Letterbox], placement: Placement
) -> tuple[Image, NDArray[np.float32], NDArray[np.float32]]:
    """`Prepare` for a network on a processor that evens pictures out itself.

    Returns:
        Pixels B x H x W x 3, the mean to take from each, B x 1 x W x 3, and what to multiply its rows by, B x H x 1.
        The last two are 0 in the border, so that it is the picture's own mean, as it is for other networks.
    """
    count, height, width = len(pictures), boxes[0].height, boxes[0].width
    pixels = np.empty((count, height, width, 3), np.uint8)
    mean, gain = np.zeros((count, 1, width, 3), np.float32), np.zeros((count, height, 1), np.float32)
    for n, (picture, box) in enumerate(zip(pictures, boxes, strict=True)):
        source = picture.numpy() if isinstance(picture, Tensor) else picture
        small = shrink(source, box, pixels[n, : box.inner_height, : box.inner_width])
        mean[n, 0, : box.inner_width], gain[n, : box.inner_height] = light_of(small)
        pixels[n, :, box.inner_width :] = 0
    return pixels, mean, gain


class GridDetector:
    """What every runtime shares: pictures to the network's input and its output to plates (`vision.types.Detector`).

    Picture sizes may differ within a batch.
    """

    def __init__(
        self,
        network: Forward,
        placement: Placement,
        *,
        threshold: float,
        overlap: float = 0.4,
        tiles: int = DEFAULT_TILES,
        max_batch: int | None = None,
        version: str = "detector",
        prepare: Prepare = as_floats,
    ) -> None:
        self._network, self._prepare = network, prepare
        self.placement, self.version = placement, version
        self.threshold, self.tiles = threshold, tiles
        self._overlap = overlap
        # on a processor larger batches fall out of its caches and are slower per picture
        self._max_batch = max_batch or (4 if placement.device.type == "cpu" else 32)

    def at(self, tiles: int) -> Self:
        """The same network with an input of another size."""
        other = copy.copy(self)
        other.tiles = max(1, tiles)
        return other

    def detect(self, images: Sequence[Image | Tensor]) -> list[list[Detection]]:
        """One list per picture, best first; raises `ValueError` for an array that is no H x W x 3 uint8 picture.

        All pictures, or none, may be tensors on the detector's device (see `vision.resident`), where they are prepared.
        """
        boxes = []
        for number, image in enumerate(images):
            if image.ndim != 3 or image.shape[2] != 3 or image.dtype not in _BYTES or 0 in image.shape:
                shape = tuple(image.shape)
                raise ValueError(f"picture {number} is {image.dtype} {shape}; wanted height x width x 3, uint8")
            boxes.append(letterbox(image.shape[1], image.shape[0], self.tiles))
        groups: dict[tuple[int, int], list[int]] = {}
        for number, box in enumerate(boxes):
            groups.setdefault((box.height, box.width), []).append(number)
        results: list[list[Detection]] = [[] for _ in images]
        for members in groups.values():
            for begin in range(0, len(members), self._max_batch):
                chunk = members[begin : begin + self._max_batch]
                found = self._forward([images[number] for number in chunk], [boxes[number] for number in chunk])
                for number, plates in zip(chunk, found, strict=True):
                    results[number] = self._detections(plates, boxes[number])
        return results

    @torch.inference_mode()
    def _forward(self, pictures: Sequence[Image | Tensor], boxes: Sequence[Letterbox]) -> list[NDArray[np.float32]]:
        """Pictures of one input shape to N x 13 candidates each: score, box (4), box-relative corners (8)."""
        heat, geometry = self._network(*self._prepare(pictures, boxes, self.placement))
        heat, geometry = heat.float().sigmoid(), geometry.float()
        peaks = nn.functional.max_pool2d(heat[:, None], 3, 1, 1)[:, 0] == heat
        flat = (heat * peaks).flatten(1)
        scores, cells = flat.topk(min(_CANDIDATES, flat.shape[1]), dim=1)
        columns, rows = cells % heat.shape[2], cells // heat.shape[2]
        picked = geometry.flatten(2).gather(2, cells[:, None].expand(-1, 12, -1)).transpose(1, 2)
        upright, corners = boxes_and_corners(picked.reshape(-1, 12), columns.flatten(), rows.flatten())
        packed = torch.cat([scores.flatten()[:, None], upright, corners.flatten(1)], dim=1).cpu().numpy()
        return list(packed.reshape(len(pictures), -1, 13))

    def _detections(self, candidates: NDArray[np.float32], box: Letterbox) -> list[Detection]:
        candidates = candidates[candidates[:, 0] >= self.threshold]
        if not len(candidates):
            return []
        kept = candidates[suppress(candidates[:, 1:5], candidates[:, 0], self._overlap)]
        corners = box.to_picture(stretch(kept[:, 1:5], kept[:, 5:].reshape(-1, 4, 2)))
        return [
            Detection(corners=quad, confidence=float(score)) for quad, score in zip(corners, kept[:, 0], strict=True)
        ]


class TorchDetector(GridDetector):
    """The committed network on torch."""

    def __init__(
        self,
        network: DetectorNet,
        placement: Placement,
        *,
        threshold: float,
        overlap: float = 0.4,
        tiles: int = DEFAULT_TILES,
        max_batch: int | None = None,
        version: str = "detector",
    ) -> None:
        fused = fuse(network.eval()).to(device=placement.device, dtype=placement.dtype)
        super().__init__(
            fused.to(memory_format=torch.channels_last),
            placement,
            threshold=threshold,
            overlap=overlap,
            tiles=tiles,
            max_batch=max_batch,
            version=version,
        )

    @classmethod
    def load(
        cls,
        folder: Path,
        device: str = "auto",
        precision: str = "auto",
        threads: int = 1,
        threshold: float | None = None,
    ) -> "TorchDetector":
        """From a folder with `card.json` and its weights; raises `ModelError`, `DeviceError`."""
        return cls.from_model(read_folder(folder), device, precision, threads, threshold)

    @classmethod
    def from_model(
        cls,
        model: ModelFolder,
        device: str = "auto",
        precision: str = "auto",
        threads: int = 1,
        threshold: float | None = None,
    ) -> "TorchDetector":
        """From a folder that the registry has read."""
        torch.set_num_threads(threads)
        return cls(
            network_of(model),
            place(device, precision),
            threshold=model.card["threshold"] if threshold is None else threshold,
            tiles=model.card["tiles"],
            version=model.version,
        )

    def record(self) -> None:
        """From now on start each call's kernels as one recorded graph (see `vision.graphs`)."""
        self._network = Replayed(self._network)


def network_of(model: ModelFolder) -> DetectorNet:
    """The network that a model folder describes, with its checked weights, in float32 on the processor.

    Raises `vision.registry.ModelError` when card or weights do not fit.
    """
    network = DetectorNet(architecture_of(model))
    load_weights(model, network)
    return network


def architecture_of(model: ModelFolder) -> Architecture:
    """The architecture that a model's card names; raises `vision.registry.ModelError` where it names none."""
    try:
        described = model.card["architecture"]
        return Architecture(
            tuple(described["widths"]),
            tuple(described["blocks"]),
            int(described["neck"]),
            tuple(described.get("inner", ())),
            one_of(get_args(BodyKind), described.get("body", "plain"), "body of a detector"),
        )
    except (TypeError, KeyError, ValueError) as error:
        raise ModelError(f"the card of {model.name} does not describe a detector: {error!r}") from error
