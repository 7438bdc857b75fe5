"""Whose photographs are in a model: cards tell, and a licence filter refuses helpers that it leaves out."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from vision.registry import ModelFolder, find_model
from vision.training.averaging import average
from vision.training.data import LICENCES, licensed_sources
from vision.training.detector_config import DetectorTrainConfig, TrainingError
from vision.training.lineage import beyond, inherited, sources_of, with_licences
from vision.training.reader_config import ConfigError, ReaderTrainConfig
from vision.training.train_detector import train as train_detector
from vision.training.train_reader import train as train_reader


def _model(card: dict[str, object]) -> ModelFolder:
    return ModelFolder("some", Path(), card)


def test_cards_of_both_kinds_tell_their_sources() -> None:
    reader = _model({"sources": {"robertlucian": "MIT", "nanonets": "none stated"}})
    detector = _model({"training": {"licences": {"open-lpr": "Apache-2.0", "simulator": "own"}}})
    assert sources_of(reader) == {"robertlucian", "nanonets"}
    assert sources_of(detector) == {"open-lpr"}, "what is rendered is nobody's photograph"
    assert sources_of(_model({"from": "published"})) == frozenset()


@pytest.mark.parametrize("kind", ["detector", "reader"])
def test_the_installed_models_hold_photographs_beyond_the_permissive(kind: str) -> None:
    sources = inherited(kind, ("", None, "default"))  # type: ignore[arg-type]
    assert set(sources) == sources_of(find_model(kind))  # type: ignore[arg-type]
    assert set(sources.values()) == {find_model(kind).version}  # type: ignore[arg-type]
    assert beyond("any", sources) == ""
    refusal = beyond("permissive", sources)
    first = min(set(sources) - licensed_sources("permissive"))
    assert refusal.startswith(f"{find_model(kind).version} was trained on {first}")  # type: ignore[arg-type]
    assert "--licence permissive" in refusal
    assert beyond("permissive", {"robertlucian": "own"}) == ""


@pytest.mark.parametrize("helper", [{"start": "detector-v4"}, {"teachers": ("detector-v4", "detector-v5")}])
def test_a_detector_takes_no_help_that_its_licence_leaves_out(tmp_path: Path, helper: dict[str, object]) -> None:
    config = replace(DetectorTrainConfig(tmp_path / "out", licence="permissive"), **helper)  # type: ignore[arg-type]
    with pytest.raises(TrainingError, match=r"detector-v4.* was trained on .* leaves out"):
        train_detector(config)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "helper", [{"start": "reader-v6"}, {"spliced_by": "reader-v6"}, {"detectors": ("detector-v4",)}]
)
def test_a_reader_takes_no_help_that_its_licence_leaves_out(tmp_path: Path, helper: dict[str, object]) -> None:
    config = replace(ReaderTrainConfig(tmp_path / "out", licence="stated"), **helper)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"-v[46].* was trained on .* leaves out"):
        train_reader(config)
    assert not (tmp_path / "out").exists()


def test_the_mean_of_two_readers_has_the_sources_of_both(tmp_path: Path) -> None:
    reader = find_model("reader", "reader-v1")
    first = replace(reader, card=reader.card | {"sources": {"robertlucian": "MIT"}})
    second = replace(reader, card=reader.card | {"sources": {"nanonets": "none stated"}})
    average(first, second, 0.5, tmp_path / "mean", None)
    card = json.loads((tmp_path / "mean" / "card.json").read_text())
    assert card["sources"] == with_licences({"robertlucian", "nanonets"})
    assert set(card["sources"]) <= set(LICENCES)
