"""The reader's loss: logits and what the samples show in, numbers to make small out."""

import torch
from torch import Tensor, nn

from vision.alphabet import encode
from vision.training.reader_data import Sample


def text_losses(logits: Tensor, samples: list[Sample]) -> Tensor:
    """B: the negative log probability of each sample's text by CTC; 0 where nobody could read it."""
    target = torch.tensor([k for s in samples for k in encode(s.text)], dtype=torch.long)
    lengths = torch.tensor([len(s.text) for s in samples], dtype=torch.long)
    steps = torch.full((len(samples),), logits.shape[1], dtype=torch.long)
    spelled = logits.log_softmax(dim=2).transpose(0, 1)
    each = nn.functional.ctc_loss(spelled, target, steps, lengths, reduction="none", zero_infinity=True)
    readable = torch.tensor([s.legible for s in samples], device=logits.device)
    return torch.where(readable, each, torch.zeros_like(each))


def reader_loss(texts: Tensor, region: Tensor, legible: Tensor, samples: list[Sample]) -> Tensor:
    """The texts' losses per character, plus small parts for region (where known) and legibility."""
    device = texts.device
    readable = torch.tensor([s.legible for s in samples], device=device)
    loss = 0.05 * nn.functional.binary_cross_entropy_with_logits(legible, readable.float())
    if bool(readable.any()):
        lengths = torch.tensor([len(s.text) for s in samples], device=device)
        loss = loss + (texts / lengths)[readable].mean()
    known = torch.tensor([s.region for s in samples], device=device)
    if bool((known >= 0).any()):
        loss = loss + 0.1 * nn.functional.cross_entropy(region, known, ignore_index=-1)
    return loss
