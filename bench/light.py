"""What evening out the light brings: ways of doing it side by side, in plates read right by day, in the dark, in glare.

    nice python -m bench.light [--steps N] [--seed N] [--invented N] [--data DIR] [--json]

Each way stands between the crop and the reader: *even* (`vision.light`, the one in use), *none* (a fixed scale),
*clahe* (contrast evened out locally on the luminance, then even), *gamma* (a power that brings the mean to one value,
then even) and *curve* (even, then a curve of nine points that the fine-tuning learns). Read are `val`'s plates on their
annotated boxes, those of them that are dark or have glare, and val's and invented plates darkened and dazzled here,
wherever they then fall into that slice (`vision.training.slices`). First the reader's weights are applied as they are;
then, as a network expects what it was trained on, each way gets the same short fine-tuning on the same crops of `train`
and invented ones in the same order. Reading is that of a video's frame (no second look). Beside the plates read right
stands the 95 % interval for *even*, and for the others the difference to it in points with its interval, bootstrapped
over the plates in pairs.
"""

import argparse
import copy
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vision.alphabet import decode
from vision.formats import format_prior
from vision.reader import CROP_SIZE, ReaderNet, ReaderOutput, network_of, prepare_batch
from vision.registry import ModelFolder, find_model
from vision.training.evaluate_reader import load_val
from vision.training.jitter import jitter
from vision.training.judging import interval
from vision.training.optimising import bf16_pays
from vision.training.reader_data import RealPool, Sample, load_real_plates, make_sample
from vision.training.reader_loss import reader_loss, text_losses
from vision.training.slices import slices_of
from vision.training.synth import synth_crop
from vision.types import Image

BATCH = 32
RATE = 3e-4
REUSE = 2.5
"""How often a crop is learnt from, as in the reader's training."""
DIFFICULTY, REAL_SHARE = 0.65, 0.55
_MEAN = 0.45
"""Where *gamma* brings the mean, 0..1."""
_RESAMPLES = 2000

Bools = NDArray[np.bool_]


class Curve(nn.Module):
    """A piecewise linear curve over evened light (-4..4), the identity at first."""

    def __init__(self, points: int = 9, reach: float = 4.0) -> None:
        super().__init__()
        self.offsets = nn.Parameter(torch.zeros(points))
        self._reach = reach

    def forward(self, pixels: Tensor) -> Tensor:
        last = len(self.offsets) - 1
        place = ((pixels + self._reach) * (last / (2 * self._reach))).clamp(0.0, last - 1e-4)
        below = place.floor()
        share, index = place - below, below.long()
        moved = self.offsets[index] * (1.0 - share) + self.offsets[index + 1] * share
        return pixels + moved


class Lit(nn.Module):
    """A reader behind a curve, or behind nothing."""

    def __init__(self, reader: ReaderNet, curve: nn.Module) -> None:
        super().__init__()
        self.reader, self.curve = reader, curve

    def forward(self, pixels: Tensor) -> ReaderOutput:
        out: ReaderOutput = self.reader(self.curve(pixels))
        return out


def as_it_is(crop: Image) -> Image:
    """The crop itself."""
    return crop


def clahe(crop: Image) -> Image:
    """The crop with the contrast of its luminance evened out over parts of about 24 x 24 pixels (Zuiderveld 1994)."""
    lab = cv2.cvtColor(crop, cv2.COLOR_BGR2LAB)
    lab[..., 0] = cv2.createCLAHE(clipLimit=2.0, tileGridSize=(6, 2)).apply(lab[..., 0])
    return np.asarray(cv2.cvtColor(lab, cv2.COLOR_LAB2BGR), np.uint8)


def gamma(crop: Image) -> Image:
    """The crop to the power that brings its mean grey near 0.45, within 0.3 to 3."""
    mean = float(cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY).mean()) / 255
    power = float(np.clip(np.log(_MEAN) / np.log(np.clip(mean, 0.02, 0.98)), 0.3, 3.0))
    table = (255 * (np.arange(256) / 255) ** power + 0.5).astype(np.uint8)
    return np.asarray(cv2.LUT(crop, table), np.uint8)


def fixed_scale(crops: Tensor) -> Tensor:
    """B x H x W x 3 bytes to B x 3 x H x W around 0, with no regard to what they show."""
    return ((crops.permute(0, 3, 1, 2).float() - 127.5) / 64.0).contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True, slots=True)
class Way:
    """One way of evening out the light."""

    name: str
    change: Callable[[Image], Image] = as_it_is
    even: Callable[[Tensor], Tensor] = prepare_batch
    learns: bool = False
    """Whether a curve is learnt behind it."""

    def inputs(self, crops: NDArray[np.uint8]) -> Tensor:
        """N x H x W x 3 bytes to the network's input."""
        return self.even(torch.from_numpy(np.stack([self.change(crop) for crop in crops])))


WAYS = (
    Way("even"),
    Way("none", even=fixed_scale),
    Way("clahe", change=clahe),
    Way("gamma", change=gamma),
    Way("curve", learns=True),
)
"""The first is the one that the others are compared with."""


@dataclass(frozen=True, slots=True)
class Plates:
    """Plates to read: crops N x H x W x 3 and their texts."""

    crops: NDArray[np.uint8]
    truths: Sequence[str]

    def where(self, wanted: Sequence[bool]) -> "Plates":
        """Some of them."""
        kept = np.flatnonzero(wanted)
        return Plates(self.crops[kept], [self.truths[k] for k in kept.tolist()])

    def of_slice(self, name: str) -> "Plates":
        """Those of a slice that the crop itself tells (`dark`, `glare`)."""
        return self.where([name in slices_of(crop, CROP_SIZE[1], CROP_SIZE[0], None) for crop in self.crops])

    def made(self, how: Callable[[Image, np.random.Generator], Image], seed: int) -> "Plates":
        """The same plates in another light."""
        rng = np.random.default_rng(seed)
        return Plates(np.stack([how(crop, rng) for crop in self.crops]), self.truths)


def darkened(crop: Image, rng: np.random.Generator) -> Image:
    """By night: little light, of one lamp's colour, the sensor's noise, compression."""
    colour = rng.uniform(0.7, 1.0, 3) if rng.random() < 0.5 else np.ones(3)
    dim = 255 * (crop / 255.0) ** rng.uniform(1.0, 1.6) * rng.uniform(0.08, 0.3) * colour
    noisy = dim + rng.normal(0.0, rng.uniform(1.0, 4.0), crop.shape)
    return _compressed(noisy)


def dazzled(crop: Image, rng: np.random.Generator) -> Image:
    """Into the light: a blot that bleaches part of the plate to white, and a veil over all of it."""
    height, width = crop.shape[:2]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    across, down = rng.uniform(0.15, 0.4) * width, rng.uniform(0.4, 0.9) * height
    place = ((x - rng.uniform(0, width)) / across) ** 2 + ((y - rng.uniform(0, height)) / down) ** 2
    veil = rng.uniform(10, 60)
    bright = crop * rng.uniform(0.8, 1.1) + veil + (np.exp(-place) * rng.uniform(120, 230))[..., None]
    return _compressed(bright)


def _compressed(picture: NDArray[np.floating]) -> Image:
    _, data = cv2.imencode(".jpg", np.clip(picture, 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 80])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


def groups(val: Plates, invented: Plates) -> dict[str, Plates]:
    """Name -> the plates of a row of the table."""
    return {
        "val": val,
        "val, dark as taken": val.of_slice("dark"),
        "val, glare as taken": val.of_slice("glare"),
        "val, darkened": val.made(darkened, 1).of_slice("dark"),
        "val, dazzled": val.made(dazzled, 2).of_slice("glare"),
        "invented": invented,
        "invented, darkened": invented.made(darkened, 3).of_slice("dark"),
        "invented, dazzled": invented.made(dazzled, 4).of_slice("glare"),
    }


def invented_plates(count: int, seed: int) -> Plates:
    """Drawn plates as a camera sees them, of middling difficulty."""
    rng = np.random.default_rng([seed, 77])
    made = [synth_crop(rng, 0.5, CROP_SIZE) for _ in range(count)]
    return Plates(np.stack([one.crop for one in made]), [one.text for one in made])


@torch.inference_mode()
def right(network: Lit, way: Way, plates: Plates, temperature: float) -> Bools:
    """Per plate whether its whole text is read right."""
    network.eval()
    regions, found = network.reader.architecture.regions, []
    for begin in range(0, len(plates.truths), BATCH):
        out = network(way.inputs(plates.crops[begin : begin + BATCH]))
        logits, odds = out.logits.float().numpy(), out.region.float().softmax(dim=1).numpy()
        for row, odd in zip(logits, odds, strict=True):
            found.append(decode(row, temperature=temperature, weigh=format_prior(regions, odd)).text)
    return np.array([text == truth for text, truth in zip(found, plates.truths, strict=True)], bool)


def tune(start: ReaderNet, way: Way, samples: Sequence[Sample], steps: int, seed: int, half: bool) -> Lit:
    """The reader after some steps on the samples, whose light was evened out that way; `half` is bf16."""
    torch.manual_seed(seed)
    rng = np.random.default_rng([seed, 5])
    network = Lit(copy.deepcopy(start), Curve() if way.learns else nn.Identity()).to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps + 1, pct_start=0.1)
    for _ in range(steps):
        picked = [samples[int(k)] for k in rng.integers(0, len(samples), BATCH)]
        inputs = jitter(way.inputs(np.stack([sample.crop for sample in picked])), rng)
        network.train()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            out = network(inputs)
        loss = reader_loss(text_losses(out.logits.float(), picked), out.region.float(), out.legible.float(), picked)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimiser.step()
        schedule.step()
    return network


def learning_samples(count: int, seed: int, root: Path | None) -> list[Sample]:
    """Crops of `train` and invented ones, mixed as in the reader's training."""
    rng, pool = np.random.default_rng([seed, 6]), RealPool(load_real_plates("train", root=root))
    return [make_sample(rng, CROP_SIZE, DIFFICULTY, pool, REAL_SHARE) for _ in range(count)]


def difference(one: Bools, other: Bools, seed: int = 0) -> tuple[float, float, float]:
    """Points by which `one` reads more of the same plates than `other`, with the 95 % interval of pairs' bootstrap."""
    gained = one.astype(np.float64) - other
    if not len(gained):
        return 0.0, 0.0, 0.0
    draws = np.random.default_rng(seed).integers(0, len(gained), (_RESAMPLES, len(gained)))
    low, high = np.percentile(gained[draws].mean(axis=1), (2.5, 97.5))
    return 100 * float(gained.mean()), 100 * float(low), 100 * float(high)


def measure(model: ModelFolder, sets: dict[str, Plates], samples: Sequence[Sample], steps: int, seed: int) -> list[Any]:
    """One row per stage, way and group of plates."""
    start, temperature = network_of(model), float(model.card.get("temperature", 1.0))
    half = bool(steps) and bf16_pays(
        copy.deepcopy(start), torch.device("cpu"), (16, *CROP_SIZE), lambda out: out.logits.float().sum()
    )
    rows: list[dict[str, Any]] = []
    for stage in ("as it is", f"{steps} steps") if steps else ("as it is",):
        tuned = stage != "as it is"
        base: dict[str, Bools] = {}
        for way in WAYS:
            if way.learns and not tuned:
                continue  # the identity: what *even* gives
            network = tune(start, way, samples, steps, seed, half) if tuned else Lit(start, nn.Identity())
            for name, plates in sets.items():
                hits = right(network, way, plates, temperature)
                rows.append(_row(stage, way.name, name, hits, base.setdefault(name, hits)))
            print(f"{stage}: {way.name} measured", file=sys.stderr)
    return rows


def _row(stage: str, way: str, group: str, hits: Bools, base: Bools) -> dict[str, Any]:
    low, high = interval(hits.tolist())
    return {
        "stage": stage,
        "way": way,
        "plates": group,
        "count": len(hits),
        "right": int(hits.sum()),
        "interval": [round(100 * low, 1), round(100 * high, 1)],
        "to_even": [round(value, 1) for value in difference(hits, base)],
    }


def table(rows: Sequence[dict[str, Any]]) -> str:
    """For a person, as Markdown."""
    lines = []
    for stage in dict.fromkeys(row["stage"] for row in rows):
        ways = list(dict.fromkeys(row["way"] for row in rows if row["stage"] == stage))
        lines += ["", f"Reader {stage}:", "", f"| plates | {' | '.join(ways)} |", "|---" * (1 + len(ways)) + "|"]
        for group in dict.fromkeys(row["plates"] for row in rows):
            cells = [row for row in rows if row["stage"] == stage and row["plates"] == group]
            lines.append(f"| {group} ({cells[0]['count']}) | {' | '.join(_cell(row) for row in cells)} |")
    return "\n".join(lines)


def _cell(row: dict[str, Any]) -> str:
    if row["way"] == WAYS[0].name:
        return f"{row['right']} ({row['interval'][0]:.0f}-{row['interval'][1]:.0f} %)"
    by, low, high = row["to_even"]
    return f"{row['right']} ({by:+.1f}: {low:+.1f} to {high:+.1f})"


def main() -> int:
    """Measure, print, return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reader", default="default")
    parser.add_argument("--steps", type=int, default=150, help="of fine-tuning, for each way")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--invented", type=int, default=300, help="invented plates to read")
    parser.add_argument("--data", type=Path, default=None, help="the pack of photographs")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    val = load_val(options.data)
    sets = groups(Plates(val.crops, val.truths), invented_plates(options.invented, options.seed))
    count = int(options.steps * BATCH / REUSE)
    samples = learning_samples(count, options.seed, options.data) if count else []
    rows = measure(find_model("reader", options.reader), sets, samples, options.steps, options.seed)
    print(json.dumps(rows) if options.json else table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
