"""Model names, cards and the check of the weights' sum."""

import json
from pathlib import Path

import pytest
import torch

from vision.detector import Architecture, DetectorNet, TorchDetector
from vision.registry import ModelError, find_model, load_state, model_names, read_folder, sha256_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small untrained detector, as a model folder."""
    architecture = Architecture((8, 8, 8, 8, 8), (1, 1, 1, 1), 8)
    home = tmp_path / "detector-tiny"
    home.mkdir()
    torch.save(DetectorNet(architecture).state_dict(), home / "weights.pt")
    card = {
        "name": "detector-tiny",
        "weights": "weights.pt",
        "sha256": sha256_of((home / "weights.pt").read_bytes()),
        "architecture": {"widths": [8] * 5, "blocks": [1] * 4, "neck": 8},
        "tiles": 240,
        "threshold": 0.3,
    }
    (home / "card.json").write_text(json.dumps(card))
    return home


def test_a_model_is_found_by_name_and_by_path(folder: Path) -> None:
    by_name = find_model("detector", "detector-tiny", root=folder.parent)
    by_path = find_model("detector", str(folder))
    assert by_name.version == by_path.version
    assert by_name.version.startswith("detector-tiny.")
    assert len(by_name.version) == len("detector-tiny.") + 8
    assert TorchDetector.from_model(by_name, precision="fp32").version == by_name.version


def test_an_unknown_name_lists_the_known_ones(folder: Path) -> None:
    with pytest.raises(ModelError, match="detector-tiny") as caught:
        find_model("detector", "detector-v99", root=folder.parent)
    assert "\n" not in str(caught.value)


def test_the_default_detector_is_committed() -> None:
    model = find_model("detector")
    assert model.name in model_names("detector")
    assert (model.path / model.card["weights"]).stat().st_size < 16 * 2**20
    assert load_state(model)


def test_tampered_weights_are_refused(folder: Path) -> None:
    data = bytearray((folder / "weights.pt").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "weights.pt").write_bytes(bytes(data))
    with pytest.raises(ModelError, match="sha256"):
        load_state(read_folder(folder))
    with pytest.raises(ModelError, match="sha256"):
        TorchDetector.load(folder)


def test_a_card_without_a_sum_is_refused(folder: Path) -> None:
    (folder / "card.json").write_text('{"weights": "weights.pt"}')
    with pytest.raises(ModelError, match="sha256"):
        read_folder(folder)


def test_a_missing_or_broken_card_is_one_line(folder: Path) -> None:
    for text, told in (("{", "not JSON"), ("[]", "no JSON object")):
        (folder / "card.json").write_text(text)
        with pytest.raises(ModelError, match=told):
            read_folder(folder)
    with pytest.raises(ModelError, match="no model at"):
        read_folder(folder / "nowhere")


def test_weights_of_another_architecture_are_refused(folder: Path) -> None:
    card = json.loads((folder / "card.json").read_text())
    card["architecture"]["neck"] = 16
    (folder / "card.json").write_text(json.dumps(card))
    with pytest.raises(ModelError, match="do not fit"):
        TorchDetector.load(folder)
