"""A trained reader in, its model folder out: weights, `card.json` for programs and `card.md` for people."""

import hashlib
import io
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from vision.reader import ReaderArchitecture, ReaderNet, architecture_card
from vision.training.data import git_commit

WEIGHTS_FILE = "weights.pt"


def write_reader_card(
    folder: Path,
    network: ReaderNet,
    architecture: ReaderArchitecture,
    steps: int,
    metrics: Mapping[str, Any],
    config: Mapping[str, Any],
    sources: Mapping[str, str],
    temperature: float = 1.0,
) -> None:
    """Write `weights.pt` (bf16), `card.json` and `card.md` into `folder`; each replaces the old one at once.

    `sources` are those of the photographs, with their licences (see `vision.training.lineage`).
    """
    folder.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    state = {
        name: (tensor.to(torch.bfloat16) if tensor.is_floating_point() else tensor).cpu()
        for name, tensor in network.state_dict().items()
    }
    torch.save(state, buffer)
    data = buffer.getvalue()
    card = {
        "kind": "reader",
        "weights": WEIGHTS_FILE,
        "sha256": hashlib.sha256(data).hexdigest(),
        "bytes": len(data),
        "architecture": architecture_card(architecture),
        "parameters": sum(p.numel() for p in network.parameters()),
        "temperature": temperature,
        "steps": steps,
        "samples_seen": steps * int(config["batch"]),
        "trained": time.strftime("%Y-%m-%d", time.gmtime()),
        "commit": git_commit(),
        "seed": config["seed"],
        "config": {k: v for k, v in config.items() if k not in {"out", "data"}},
        "sources": dict(sources),
        "splits": {"trained on": "train", "chosen by": "val", "never seen": "test"},
        "val": dict(metrics),
    }
    _replace(folder / WEIGHTS_FILE, data)
    write_card(folder, card)


def write_card(folder: Path, card: Mapping[str, Any]) -> None:
    """Write `card.json` and `card.md` beside the weights."""
    _replace(folder / "card.json", (json.dumps(card, indent=2) + "\n").encode())
    _replace(folder / "card.md", card_text(card).encode())


def _replace(path: Path, data: bytes) -> None:
    part = path.with_name(path.name + ".part")
    part.write_bytes(data)
    part.replace(path)


def _start(card: Mapping[str, Any]) -> str:
    start, body = card.get("start") or {}, card["config"].get("body_from")
    told = f"; from `{start['name']}` (sha256 `{start['sha256'][:8]}`)" if start else ""
    return f"{told}, its body from `{Path(body).name}`" if body else told


def _way(card: Mapping[str, Any]) -> str:
    if "greedy_exact" in card["val"]:  # of a run that is not over, or that has no photographs
        return "Read greedily, without production's second look and prior; `greedy_exact` is the mean over the sources"
    return (
        "`exact` is the mean over the sources, `all` the share over every plate; "
        "read as production reads, with a second look\nat doubtful plates and the formats' prior"
    )


def _note(card: Mapping[str, Any]) -> str:
    return f"\n{card['note']}\n" if card.get("note") else ""


def card_text(card: Mapping[str, Any]) -> str:
    """The card for people, in Markdown."""
    rows = "\n".join(f"| {name} | {100 * share:.1f} % |" for name, share in card["val"].items())
    sources = "\n".join(f"| {name} | {licence} |" for name, licence in card["sources"].items()) or "| none | |"
    return f"""# Plate reader

Reads a rectified crop of one number plate (48 x 144 pixels, BGR): text with probabilities per character, region,
legibility. A convolutional network with two row slots and a CTC head, {card["parameters"]:,} parameters.

| | |
|---|---|
| weights | `{card["weights"]}`, {card["bytes"]:,} bytes, bf16 |
| sha256 | `{card["sha256"]}` |
| trained | {card["trained"]}, {card["steps"]:,} steps of {card["config"]["batch"]}, seed {card["seed"]}{_start(card)} |
| code | commit {card["commit"]} |
| data | invented plates (`vision/training/synth.py`) and the `train` split of the sources below |
| chosen by | the `val` split; `test` was not used |
| temperature | {card["temperature"]}, expected calibration error {card.get("calibration_error", "not measured")} |
{_note(card)}
## Validation: whole text right, on the annotated box

| source | exact |
|---|---|
{rows}

{_way(card)}. All settings of the run stand in `card.json` under `config`.

## Sources of real plates and the licences of their repositories

| source | licence |
|---|---|
{sources}

Those of models that the run started from or was helped by are among them. The photographs are not distributed. Some
sources state no licence, and the rights to third-party web pictures in them are not proved; `platefleet train reader
--licence permissive`, without a start, trains from permissively licensed sources alone.

## Limits

Latin letters and digits only, at most 12 characters, one or two rows. Small stacked letters of US plates are not part
of the text. Region is a guess from looks; where a plate of an unknown layout is seen it names the likeliest known one.
"""
