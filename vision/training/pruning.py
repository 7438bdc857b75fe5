"""A smaller network from a trained one: a model folder in, a folder with fewer channels out, to be used or trained on.

Whole channels go, so that the network really has less to do. Only those inside residual blocks can go without anything
else changing: what the least important ones add is little beside what passes the block by. Importance is the product
of the channel's scale (its batch norm's) and the size of the weights that take it up (after Liu et al. 2017,
"Learning efficient convolutional networks through network slimming").
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vision import detector, reader
from vision.registry import Kind, ModelError, ModelFolder, sha256_of

_MULTIPLE = 8
"""Channels are kept in so many at a time: processors take them eight or sixteen at once."""

Block = tuple[nn.Conv2d, nn.BatchNorm2d, nn.Conv2d]
"""What makes a block's inner channels, their norm, and what takes them up."""


def prune(model: ModelFolder, kind: Kind, share: float, out: Path) -> int:
    """Write `model` without `share` (0..1) of the channels inside its blocks to the folder `out`; returns parameters.

    The card's figures of val and its exported files are left out: they were the whole network's. Raises ValueError for
    a share outside 0..1 and `vision.registry.ModelError` for a model that cannot be read or has no such blocks.
    """
    if not 0.0 <= share < 1.0:
        raise ValueError(f"the share to prune is {share}, it must be at least 0 and below 1")
    whole: nn.Module
    small: nn.Module
    if kind == "reader":
        whole = reader.network_of(model)
        inner = slim(blocks_of(whole), share)
        small = reader.ReaderNet(replace(whole.architecture, inner=inner))
    else:
        architecture = detector.architecture_of(model)
        whole = detector.network_of(model)
        inner = slim(blocks_of(whole), share)
        small = detector.DetectorNet(replace(architecture, inner=inner))
    if not inner:
        raise ModelError(f"{model.name} has no blocks that channels can be taken out of")
    small.load_state_dict(whole.state_dict())
    parameters = sum(p.numel() for p in small.parameters())
    _write(model, out, small.state_dict(), inner, share, parameters)
    return parameters


def blocks_of(network: nn.Module) -> list[Block]:
    """The residual blocks of a detector or a reader, in order."""
    found = []
    for module in network.modules():
        if isinstance(module, reader.Residual):
            found.append(_block(module.first, module.second))
        elif isinstance(module, detector.Residual):
            found.append(_block(module.body[0], module.body[1]))
    return found


def slim(blocks: Iterable[Block], share: float) -> tuple[int, ...]:
    """Take the least important `share` of the inner channels out of each block, in place; returns how many stay."""
    left = []
    for made, norm, taken in blocks:
        keep = _kept(norm, taken, share)
        made.weight, taken.weight = nn.Parameter(made.weight[keep]), nn.Parameter(taken.weight[:, keep])
        made.out_channels = norm.num_features = taken.in_channels = len(keep)
        norm.weight, norm.bias = nn.Parameter(norm.weight[keep]), nn.Parameter(norm.bias[keep])
        assert norm.running_mean is not None
        assert norm.running_var is not None
        norm.running_mean, norm.running_var = norm.running_mean[keep], norm.running_var[keep]
        left.append(len(keep))
    return tuple(left)


def _block(first: nn.Module, second: nn.Module) -> Block:
    assert isinstance(first, nn.Sequential)
    assert isinstance(second, nn.Sequential)
    made, norm, taken = first[0], first[1], second[0]
    assert isinstance(made, nn.Conv2d)
    assert isinstance(norm, nn.BatchNorm2d)
    assert isinstance(taken, nn.Conv2d)
    return made, norm, taken


def _kept(norm: nn.BatchNorm2d, taken: nn.Conv2d, share: float) -> Tensor:
    """The channels that stay, in their order."""
    weight = taken.weight.detach()
    importance = norm.weight.detach().abs() * weight.square().sum(dim=(0, 2, 3)).sqrt()
    whole = len(importance)
    count = whole if share == 0 else min(whole, max(_MULTIPLE, round((1 - share) * whole / _MULTIPLE) * _MULTIPLE))
    return importance.topk(count).indices.sort().values


def _write(
    model: ModelFolder, out: Path, state: dict[str, Tensor], inner: Sequence[int], share: float, parameters: int
) -> None:
    out.mkdir(parents=True, exist_ok=True)
    weights = out / "weights.pt"
    half = torch.float16 if model.card.get("kind") == "detector" else torch.bfloat16
    torch.save({name: t.to(half) if t.is_floating_point() and t.ndim > 1 else t for name, t in state.items()}, weights)
    data = weights.read_bytes()
    told = {key: value for key, value in model.card.items() if key not in ("variants", "val", "val_average_precision")}
    card: dict[str, Any] = told | {
        "name": out.resolve().name,
        "weights": weights.name,
        "sha256": sha256_of(data),
        "bytes": len(data),
        "parameters": parameters,
        "architecture": model.card["architecture"] | {"inner": list(inner)},
        "pruned": {"from": model.version, "share": share},
    }
    (out / "card.json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
