"""The reader on real plates at their true boxes: weights in, share of whole texts right per source out.

This is the quick measure that training watches; `vision.training.evaluate` prints the whole table.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from vision.alphabet import encode, greedy
from vision.formats import format_prior
from vision.reader import CROP_SIZE, ReaderNet, other_views, prepare_batch
from vision.training.calibrate import LookedAt
from vision.training.data import Licence
from vision.training.reader_data import RealPlate, load_real_plates, real_crop

Outputs = Callable[[NDArray[np.uint8]], tuple[NDArray[np.float32], NDArray[np.float32]]]
"""Crops N x H x W x 3 to logits N x T x 37 and region probabilities N x regions."""


@dataclass(frozen=True, slots=True)
class ValSet:
    """Validation plates, cut once."""

    plates: list[RealPlate]
    crops: NDArray[np.uint8]
    """N x H x W x 3."""

    def judged(self, network: ReaderNet) -> LookedAt:
        """What the network says of every plate, in all views, with the prior on formats that production uses."""
        return self.judged_by(partial(_outputs, network), network.architecture.regions)

    def judged_by(self, outputs: Outputs, regions: Sequence[str]) -> LookedAt:
        """As `judged`, of a network on any runtime."""
        seen = [np.stack([crop, *other_views(crop)]) for crop in self.crops]
        logits, odds = outputs(np.concatenate(seen))
        views = len(seen[0])
        per_plate = odds.reshape(len(seen), views, -1)
        weighs = [(format_prior(regions, row[0]), format_prior(regions, row.mean(axis=0))) for row in per_plate]
        return LookedAt(list(logits.reshape(len(seen), views, *logits.shape[1:])), self.truths, weighs)

    @property
    def truths(self) -> list[str]:
        """The plates' texts."""
        return [plate.text for plate in self.plates]

    def measure(self, network: ReaderNet) -> dict[str, float]:
        """By greedy decoding, without the prior on formats: as `exact_by_source`, `exact` named `greedy_exact`; and
        the `loss` of the texts."""
        logits, _ = _outputs(network, self.crops)
        found = exact_by_source([p.source for p in self.plates], [greedy(row) for row in logits], self.truths)
        return {"greedy_exact": found.pop("exact"), **found, "loss": round(text_loss(logits, self.truths), 4)}


def _outputs(
    network: ReaderNet, crops: NDArray[np.uint8], batch: int = 64
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Logits N x T x 37 and region probabilities N x regions, by the network in evaluation mode, in float32."""
    network.eval()
    device = next(network.parameters()).device
    logits, odds = [], []
    with torch.inference_mode():
        for start in range(0, len(crops), batch):
            out = network(prepare_batch(torch.from_numpy(crops[start : start + batch]).to(device)))
            logits.append(out.logits.float().cpu().numpy())
            odds.append(out.region.float().softmax(dim=1).cpu().numpy())
    return np.concatenate(logits), np.concatenate(odds)


def text_loss(logits: NDArray[np.float32], truths: Sequence[str]) -> float:
    """Mean negative log probability of the true texts: less coarse than a share of some hundred plates."""
    spelled = torch.from_numpy(logits).log_softmax(dim=2).transpose(0, 1)
    target = torch.tensor([k for text in truths for k in encode(text)], dtype=torch.long)
    lengths = torch.tensor([len(text) for text in truths], dtype=torch.long)
    steps = torch.full((len(truths),), logits.shape[1], dtype=torch.long)
    each = torch.nn.functional.ctc_loss(spelled, target, steps, lengths, reduction="none", zero_infinity=True)
    return float(each.mean())


def load_val(root: Path | None = None, licence: Licence = "any") -> ValSet:
    """The `val` split's plates with text, cut on their annotation."""
    return cut_plates(load_real_plates("val", root=root, licence=licence))


def cut_plates(plates: list[RealPlate]) -> ValSet:
    """The plates, at least one, with their crops as the reader is given them."""
    return ValSet(plates, np.stack([real_crop(plate, CROP_SIZE) for plate in plates]))


def exact_by_source(sources: Sequence[str], texts: Sequence[str], truths: Sequence[str]) -> dict[str, float]:
    """Share of exactly right texts per source, `exact` as their mean, `all` over every plate; rounded to 4 digits."""
    right: dict[str, list[bool]] = {}
    for source, text, truth in zip(sources, texts, truths, strict=True):
        right.setdefault(source, []).append(text == truth)
    shares = {source: float(np.mean(hits)) for source, hits in sorted(right.items())}
    every = [hit for hits in right.values() for hit in hits]
    summary = {"exact": float(np.mean(list(shares.values()))), "all": float(np.mean(every))}
    return {name: round(value, 4) for name, value in (summary | shares).items()}
