"""Two readers of one descent in, the one whose weights lie between theirs out.

Runs that began with the same weights end in one valley of the loss, and between them is often a better reader than
either (Wortsman et al., *Model soups*, 2022, arXiv:2203.05482). Where it lies is for `val` to say.

Errors: `AveragingError` (a ValueError) where the two are not of one architecture.
"""

from pathlib import Path

import torch

from vision.reader import ReaderNet, network_of
from vision.registry import ModelFolder, read_folder
from vision.training.evaluate_reader import ValSet
from vision.training.lineage import sources_of, with_licences
from vision.training.model_card import write_card, write_reader_card
from vision.training.train_reader import calibrate


class AveragingError(ValueError):
    """The two cannot be averaged; the message says why."""


def average(first: ModelFolder, second: ModelFolder, share: float, out: Path, val: ValSet | None) -> float:
    """Write the reader that has `share` (0..1) of the second and the rest of the first; returns its temperature.

    Without `val` the temperature stays the first one's, and the card tells no figures.
    """
    one, other = network_of(first), network_of(second)
    if one.architecture != other.architecture:
        raise AveragingError(f"{first.version} and {second.version} are of two architectures")
    network = between(one, other, share)
    card = second.card
    sources = with_licences(sources_of(first) | sources_of(second))
    temperature = first.card["temperature"]
    write_reader_card(out, network, one.architecture, card["steps"], {}, card["config"], sources, temperature)
    note = (
        f"The mean of two readers' weights: {100 * share:.0f} % of a run of {card['steps']:,} steps from "
        f"`{first.path.name}` (the settings below), and `{first.path.name}` itself."
    )
    kept = {name: card[name] for name in ("trained", "commit", "start") if name in card}
    mean = {"of": [first.version, second.version], "share": share}
    write_card(out, read_folder(out).card | kept | {"averaged": mean, "note": note})
    return calibrate(out, val) if val is not None else float(first.card["temperature"])


def between(one: ReaderNet, other: ReaderNet, share: float) -> ReaderNet:
    """A third network, its weights and its norms' statistics between those of the two."""
    network, others = ReaderNet(one.architecture), other.state_dict()
    with torch.no_grad():
        network.load_state_dict(
            {
                name: tensor.lerp(others[name], share) if tensor.is_floating_point() else tensor
                for name, tensor in one.state_dict().items()
            }
        )
    return network.eval()
