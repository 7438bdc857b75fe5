"""The plate reader: rectified crops of one size in, texts with probabilities, region and legibility out.

A small convolutional network turns a crop into a grid of features. Two *row slots* look down every column of the grid
and pool it by a learned attention over its height: the first follows the upper row of a two-row plate, the second the
lower or only row. The slots' columns laid end to end are the time axis of one CTC sequence, so one and
two rows are read by the same head, in reading order. `vision.alphabet` turns the result into texts.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vision import lcnet
from vision.alphabet import BLANK, CANDIDATES, SYMBOLS, Decoded, decode
from vision.device import Placement, place
from vision.formats import format_prior
from vision.graphs import Replayed
from vision.light import even_light
from vision.registry import ModelError, ModelFolder, load_weights, one_of, read_folder
from vision.resident import turned
from vision.types import Image, PlateText

CROP_SIZE = (48, 144)
"""Height, width in pixels."""
_EARLY = 3
"""Blocks of the plain body after which colours and their places are still to be seen."""
_PLACES = (3, 6)
"""Rows and columns of the plate by which its looks are told: a blue band is at the left, a header above."""

SURE = 0.8
"""Below this confidence a plate is looked at again, in `VIEWS`, and read from all of them together."""
VIEWS = ((1.06, 1.08, 0.0), (0.95, 0.9, 0.0), (1.0, 1.0, 0.25), (1.0, 1.0, -0.25))
"""Stretched across and down, and leaning (pixels across per pixel down)."""

Floats = NDArray[np.float32]
BodyKind = Literal["plain", "lcnet"]


@dataclass(frozen=True, slots=True)
class ReaderArchitecture:
    """Channels at strides 2, 4, twice at (8 down, 4 across), and of the sequence."""

    widths: tuple[int, ...] = (32, 48, 72, 104)
    sequence: int = 144
    regions: tuple[str, ...] = ()
    looks: int = 96
    """Width of the layer between the plate's looks (colours by place) and its region; 0 goes by the mean alone."""
    inner: tuple[int, ...] = ()
    """Channels inside each of the plain body's four residual blocks, as pruning leaves them; empty: its stage's."""
    body: BodyKind = "plain"
    """`plain` has `widths`; `lcnet` is that of a published text reader (`vision.lcnet`), with widths of its own."""


@dataclass(frozen=True, slots=True)
class _Body:
    """What looks at the crop: its blocks, how many of them come before the early look, and what comes out."""

    blocks: nn.Sequential
    early: int
    early_width: int
    width: int
    rows: int


def _body(architecture: "ReaderArchitecture") -> _Body:
    if architecture.body == "lcnet":
        early = lcnet.STEPS[lcnet.EARLY - 1].outputs
        return _Body(lcnet.body(), 1 + lcnet.EARLY, early, lcnet.WIDTH, CROP_SIZE[0] // lcnet.DOWN)
    w = architecture.widths
    inner = architecture.inner or (w[1], w[2], w[3], w[3])
    blocks = nn.Sequential(
        _conv(3, w[0], 3, 2),
        _conv(w[0], w[1], 3, 2),
        Residual(w[1], inner[0]),
        _conv(w[1], w[2], 3, (2, 1)),
        Residual(w[2], inner[1]),
        _conv(w[2], w[3], 3),
        Residual(w[3], inner[2]),
        Residual(w[3], inner[3]),
    )
    return _Body(blocks, _EARLY, w[1], w[3], CROP_SIZE[0] // 8)


@dataclass(frozen=True, slots=True)
class ReaderOutput:
    """What the network says of a batch of crops."""

    logits: Tensor
    """B x T x (1 + 36): the blank first, then `vision.alphabet.SYMBOLS`."""
    region: Tensor
    """B x regions, logits."""
    legible: Tensor
    """B, logits: can a person read this?"""


class ReaderNet(nn.Module):
    """B x 3 x 48 x 144 (light evened) to `ReaderOutput` with T = 72: 36 columns of the upper row, 36 of the lower."""

    def __init__(self, architecture: ReaderArchitecture = ReaderArchitecture()) -> None:
        super().__init__()
        self.architecture = architecture
        made, n = _body(architecture), architecture.sequence
        self.body, self._early = made.blocks, made.early
        width, rows = made.width, made.rows
        self.look = nn.Conv2d(width, 2, 3, padding=1)
        ramp = torch.linspace(1.0, -1.0, rows)
        self.place = nn.Parameter(torch.stack([ramp * 1.0, ramp * -1.0]))
        self.slot = nn.Parameter(torch.zeros(2, n))
        self.enter = nn.Linear(width, n)
        self.context = nn.Linear(width, n)
        self.mix = nn.Sequential(_Along(n), _Along(n))
        self.drop = nn.Dropout(0.0)
        """Turned up by the training; does nothing in production."""
        self.letters = nn.Linear(n, 1 + len(SYMBOLS))
        regions = max(1, len(architecture.regions))
        if architecture.looks:
            seen = made.early_width * _PLACES[0] * _PLACES[1] + width
            self.looks = nn.Sequential(nn.Linear(seen, architecture.looks), nn.ReLU())
            self.region_of = nn.Linear(architecture.looks, regions)
        else:
            self.region = nn.Linear(width, regions)
        self.legible = nn.Linear(width, 1)

    def forward(self, crops: Tensor) -> ReaderOutput:
        early = self.body[: self._early](crops)
        grid = self.body[self._early :](early)
        weights = (self.look(grid) + self.place[None, :, :, None].to(grid.dtype)).softmax(dim=2)
        pooled = torch.einsum("bchw,bshw->bswc", grid, weights)
        whole = grid.mean(dim=(2, 3))
        steps = self.enter(pooled) + self.slot[None, :, None, :] + self.context(whole)[:, None, None, :]
        b, s, t, c = steps.shape
        steps = self.mix(steps.reshape(b * s, t, c).transpose(1, 2)).transpose(1, 2).reshape(b, s * t, c)
        return ReaderOutput(self.letters(self.drop(steps)), self._region(early, whole), self.legible(whole)[:, 0])

    def _region(self, early: Tensor, whole: Tensor) -> Tensor:
        region: Tensor
        if self.architecture.looks:
            places = nn.functional.adaptive_avg_pool2d(early, _PLACES).flatten(1)
            region = self.region_of(self.looks(torch.cat([places, whole], dim=1)))
        else:
            region = self.region(whole)
        return region


def _conv(inputs: int, outputs: int, size: int, stride: int | tuple[int, int] = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


class Residual(nn.Module):
    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.first = _conv(width, inner, 3)
        self.second = nn.Sequential(nn.Conv2d(inner, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = torch.relu(x + self.second(self.first(x)))
        return out


class _Along(nn.Module):
    """A residual step along the row: what stands left and right of a column."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(width)
        self.near = nn.Conv1d(width, width, 5, padding=2)
        self.mixed = nn.Conv1d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.mixed(torch.relu(self.near(torch.relu(self.norm(x)))))
        return out


def prepare(crops: Sequence[Image] | Tensor, placement: Placement | None = None) -> Tensor:
    """Crops of one size to the network's input; training and production both come through here.

    B x 3 x H x W on the placement's device, channels last. Raises ValueError for a crop of another size.
    """
    for crop in crops:
        if tuple(crop.shape) != (*CROP_SIZE, 3):
            raise ValueError(f"a crop is {tuple(crop.shape)}, the reader takes {(*CROP_SIZE, 3)}: rectify it first")
    return prepare_batch(crops if isinstance(crops, Tensor) else torch.from_numpy(np.stack(crops)), placement)


def prepare_batch(crops: Tensor, placement: Placement | None = None) -> Tensor:
    """B x H x W x 3 bytes to the network's input (see `prepare`)."""
    pixels = crops.to(placement.device) if placement else crops
    even = even_light(pixels.permute(0, 3, 1, 2)).contiguous(memory_format=torch.channels_last)
    return even.to(placement.dtype) if placement else even


def fold_norms(network: nn.Module) -> None:
    """Fold every BatchNorm that follows a convolution into it, for inference."""
    for module in network.modules():
        if isinstance(module, nn.Sequential) and len(module) >= 2:
            conv, norm = module[0], module[1]
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                module[0] = torch.nn.utils.fuse_conv_bn_eval(conv.eval(), norm.eval())
                module[1] = nn.Identity()


class RowReader:
    """What every runtime shares: crops to the network's input and its output to texts (`vision.types.Reader`)."""

    crop_size = CROP_SIZE

    def __init__(
        self,
        network: Callable[[Tensor], ReaderOutput],
        regions: tuple[str, ...],
        placement: Placement,
        *,
        temperature: float = 1.0,
        max_batch: int = 64,
        version: str = "",
    ) -> None:
        self._network = network
        self.placement = placement
        self.version = version
        self.temperature = temperature
        self.regions = regions
        self._max_batch = max_batch

    def read(self, crops: Sequence[Image] | Tensor, again: Sequence[bool] | None = None) -> list[PlateText]:
        """As `vision.types.Reader.read`. Raises ValueError for a crop that is not of `crop_size`.

        Crops may be one tensor, N x height x width x 3 bytes on the reader's device: nothing of it leaves the device.
        """
        may = [True] * len(crops) if again is None else again
        texts: list[PlateText] = []
        for start in range(0, len(crops), self._max_batch):
            own = slice(start, start + self._max_batch)
            texts.extend(self._read_batch(crops[own], may[own]))
        return texts

    def _read_batch(self, crops: Sequence[Image] | Tensor, may: Sequence[bool]) -> list[PlateText]:
        logits, odds, legible = self.look(crops)
        found = [self._decode(logits[k], odds[k]) for k in range(len(crops))]
        unsure = [k for k, text in enumerate(found) if may[k] and text.confidence < SURE]
        for start in range(0, len(unsure), self._max_batch // len(VIEWS)):
            part = unsure[start : start + self._max_batch // len(VIEWS)]
            more, more_odds, _ = self.look(_views(crops, part))
            for n, k in enumerate(part):
                own = slice(n * len(VIEWS), (n + 1) * len(VIEWS))
                odds[k] = np.concatenate([odds[k][None], more_odds[own]]).mean(axis=0)
                found[k] = self._decode(np.concatenate([logits[k][None], more[own]]), odds[k])
        return [self._text(found[k], odds[k], float(legible[k])) for k in range(len(crops))]

    def look(self, crops: Sequence[Image] | Tensor) -> tuple[Floats, Floats, Floats]:
        """Logits N x T x 37, region probabilities N x regions and legibility N of some crops, in one batch."""
        with torch.inference_mode():
            out = self._network(prepare(crops, self.placement))
            return (
                out.logits.float().cpu().numpy(),
                out.region.float().softmax(dim=1).cpu().numpy(),
                out.legible.float().sigmoid().cpu().numpy(),
            )

    def candidates(self, crop: Image, count: int) -> tuple[tuple[str, float], ...]:
        """The `count` likeliest texts of one crop with their probabilities, from one look: more than `read` lists."""
        logits, odds, _ = self.look([crop])
        return self._decode(logits[0], odds[0], count).candidates

    def _decode(self, logits: Floats, odds: Floats, count: int = CANDIDATES) -> Decoded:
        weigh = format_prior(self.regions, odds) if self.regions else None
        return decode(logits, temperature=self.temperature, candidates=count, weigh=weigh)

    def _text(self, found: Decoded, odds: Floats, legible: float) -> PlateText:
        best = int(odds.argmax()) if self.regions else -1
        return PlateText(
            plate=found.text,
            confidence=found.confidence,
            char_probs=found.char_probs,
            candidates=found.candidates,
            region=self.regions[best] if best >= 0 else "",
            region_confidence=float(odds[best]) if best >= 0 else 0.0,
            legibility=legible,
        )


class TorchReader(RowReader):
    """The reader network on torch."""

    def __init__(
        self,
        network: ReaderNet,
        regions: tuple[str, ...],
        placement: Placement,
        *,
        temperature: float = 1.0,
        max_batch: int = 64,
        version: str = "",
    ) -> None:
        network.eval()
        fold_norms(network)
        super().__init__(
            network.to(placement.device, placement.dtype).to(memory_format=torch.channels_last),
            regions,
            placement,
            temperature=temperature,
            max_batch=max_batch,
            version=version,
        )

    @classmethod
    def load(
        cls, folder: Path | ModelFolder, device: str = "auto", precision: str = "auto", threads: int | None = None
    ) -> "TorchReader":
        """Read a model folder (`card.json` and the weights it names, whose sha256 is checked).

        `threads` sets torch's threads for the whole process. Raises `vision.registry.ModelError` for a folder that
        cannot be used and `vision.device.DeviceError` for a device or precision that is not there.
        """
        if threads is not None:
            torch.set_num_threads(threads)
        model = folder if isinstance(folder, ModelFolder) else read_folder(folder)
        network = network_of(model)
        return cls(
            network,
            network.architecture.regions,
            place(device, precision),
            temperature=float(model.card.get("temperature", 1.0)),
            version=model.version,
        )

    def record(self) -> None:
        """From now on start each call's kernels as one recorded graph (see `vision.graphs`)."""
        self._network = Replayed(self._network)


def other_views(crop: Image) -> list[Image]:
    """The crop as other corners would have cut it, one for each of `VIEWS`; what lies outside repeats its edge."""
    height, width = crop.shape[:2]
    out = []
    for matrix in _view_matrices(height, width):
        view = cv2.warpAffine(crop, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        out.append(np.asarray(view, np.uint8))
    return out


def _view_matrices(height: int, width: int) -> Floats:
    """From pixels of the crop to pixels of each view, V x 2 x 3."""
    return np.array(
        [
            [[across, lean, ((1 - across) * (width - 1) - lean * (height - 1)) / 2],
             [0.0, down, (1 - down) * (height - 1) / 2]]
            for across, down, lean in VIEWS
        ], np.float32
    )  # fmt: skip


def _views(crops: Sequence[Image] | Tensor, which: Sequence[int]) -> Sequence[Image] | Tensor:
    """The other views of some crops, those of one crop together."""
    if isinstance(crops, Tensor):
        return turned(crops[list(which)], _view_matrices(*CROP_SIZE))
    return [view for k in which for view in other_views(crops[k])]


def network_of(model: ModelFolder) -> ReaderNet:
    """The network that a model folder describes, with its checked weights, in float32 on the processor.

    Raises `vision.registry.ModelError` when card or weights do not fit.
    """
    try:
        described = model.card["architecture"]
        architecture = ReaderArchitecture(
            tuple(described["widths"]),
            int(described["sequence"]),
            tuple(described["regions"]),
            int(described.get("looks", 0)),
            tuple(described.get("inner", ())),
            one_of(get_args(BodyKind), described.get("body", "plain"), "body of a reader"),
        )
    except (TypeError, KeyError, ValueError) as error:
        raise ModelError(f"the card of {model.name} does not describe a reader: {error!r}") from error
    network = ReaderNet(architecture)
    load_weights(model, network)
    return network


def architecture_card(architecture: ReaderArchitecture) -> dict[str, object]:
    """The architecture as it stands in a model card."""
    card: dict[str, object] = json.loads(json.dumps(asdict(architecture)))
    return card


__all__ = ["BLANK", "CROP_SIZE", "ReaderArchitecture", "ReaderNet", "ReaderOutput", "TorchReader", "prepare"]
