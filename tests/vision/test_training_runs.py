"""What surrounds a training: curves, patience, the list of runs, and the search for settings."""

import builtins
import itertools
import json
import logging
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from fleet.cli import cli
from vision.detector import Architecture
from vision.registry import read_folder, sha256_of
from vision.training import detector_config, reader_config, train_reader
from vision.training.config_file import as_toml
from vision.training.curves import Curves
from vision.training.data import DataError
from vision.training.detector_config import DetectorTrainConfig
from vision.training.looks import Looks
from vision.training.reader_config import ReaderTrainConfig
from vision.training.runs import TrainResult, machine, read_runs
from vision.training.search_space import SPACE
from vision.training.train_reader import train
from vision.training.tune import TuneError, tune

pytestmark = pytest.mark.usefixtures("one_thread")

TINY = (
    "real = false\nsteps = 2\nbatch = 8\nreplay = 96\nwidths = [8, 8, 16, 16]\nsequence = 32\nseed = 3\nrate = 1e-3\n"
)


@pytest.fixture
def tiny(tmp_path: Path) -> ReaderTrainConfig:
    """A reader's run of two steps on invented plates."""
    (tmp_path / "tiny.toml").write_text(TINY, encoding="utf-8")
    return replace(reader_config.read_config(tmp_path / "tiny.toml", tmp_path / "run"), threads=1)


def points(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Curve -> its points, as TensorBoard reads them."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder)).Reload()
    return {name: [(one.step, one.value) for one in found.Scalars(name)] for name in found.Tags()["scalars"]}


def test_curves_are_what_tensorboard_reads(tmp_path: Path) -> None:
    curves = Curves(tmp_path)
    curves.put("train", 50, {"loss": 2.0, "note": "words"})
    curves.put("val", 60, {"exact": 0.5, "all": {"recall": 80.0, "mean_iou": None}, "loss": float("nan")})
    curves.close()
    assert points(tmp_path) == {"train/loss": [(50, 2.0)], "val/exact": [(60, 0.5)], "val/all/recall": [(60, 80.0)]}


def test_a_run_that_goes_on_takes_back_what_it_draws_again(tmp_path: Path) -> None:
    for begin, value in ((0, 1.0), (20, 2.0)):
        curves = Curves(tmp_path, begin)
        for step in (10, 20, 30):
            if step >= begin:
                curves.put("train", step, {"loss": value})
        curves.close()
        # files are read in the order of their names, and these begin with the second
        time.sleep(1.1)
    assert points(tmp_path)["train/loss"] == [(10, 1.0), (20, 2.0), (30, 2.0)]


def test_without_tensorboard_one_line_tells_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith("torch.utils.tensorboard"):
            raise ModuleNotFoundError("No module named 'tensorboard'")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    caplog.set_level(logging.INFO)
    curves = Curves(tmp_path)
    curves.put("train", 1, {"loss": 1.0})
    curves.close()
    assert [record.message for record in caplog.records] == [
        "no curves for TensorBoard: it is not installed (pip install -e '.[train,export]')"
    ]
    assert list(tmp_path.iterdir()) == []


def test_patience_counts_looks_that_are_none_the_better() -> None:
    looks = Looks()
    assert [looks.better(figure) for figure in (0.0, 0.5, 0.5, 0.4)] == [True, True, False, False]
    assert (looks.best, looks.since_best) == (0.5, 2)
    assert [looks.over(patience) for patience in (0, 1, 2, 3)] == [False, True, True, False]
    assert looks.better(0.6)
    assert not looks.over(1)


def test_a_reader_out_of_patience_stops_and_is_listed(tiny: ReaderTrainConfig, tmp_path: Path) -> None:
    file = tmp_path / "list" / "runs.jsonl"
    config = replace(tiny, steps=1000, check_every=1, patience=2, rate=0.0)
    result = train(config, runs=file)
    assert result.steps == 3, "a first look, and two without a better figure"
    (run,) = read_runs(file)
    card = json.loads((config.out / "card.json").read_text())
    assert (run["kind"], run["ended"], run["steps"]) == ("reader", "out of patience", 3)
    assert (run["weights"], run["commit"], run["start"]) == (card["sha256"], card["commit"], "")
    assert set(run["metrics"]) == {"greedy_exact"}
    assert (run["data"], run["extras"]) == ({}, {}), "invented plates alone need no photographs"
    assert run["config"]["patience"] == 2
    assert "data" not in run["config"]
    assert run["machine"] == machine()
    assert run["out"] == str(config.out)


def test_an_interrupted_run_is_listed_too(
    tiny: ReaderTrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*arguments: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(train_reader, "reader_loss", interrupt)
    with pytest.raises(KeyboardInterrupt):
        train(tiny, runs=tmp_path / "runs.jsonl")
    (run,) = read_runs(tmp_path / "runs.jsonl")
    assert (run["ended"], run["steps"], run["weights"]) == ("interrupted", 0, None)


def saved_state(config: ReaderTrainConfig) -> dict[str, Any]:
    return dict(torch.load(config.out / "checkpoint.pt", weights_only=True)["state"])


def test_an_interrupted_reader_goes_on_where_it_was(tiny: ReaderTrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = train_reader.update_average, itertools.count(1)

    def interrupt_third(*arguments: Any) -> None:
        real(*arguments)
        if next(calls) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(train_reader, "update_average", interrupt_third)
    with pytest.raises(KeyboardInterrupt):
        train(replace(tiny, steps=5))
    assert saved_state(tiny)["step"] == 3
    assert train(replace(tiny, steps=5, resume=True)).steps == 5
    assert next(calls) == 6, "three steps before, two after"


def test_a_killed_reader_knows_the_figure_of_the_weights_that_it_left(
    tiny: ReaderTrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = train_reader.reader_loss, itertools.count(1)

    def killed_third(*arguments: Any) -> Any:
        if next(calls) == 3:
            raise SystemExit
        return real(*arguments)

    monkeypatch.setattr(train_reader, "reader_loss", killed_third)
    with pytest.raises(SystemExit):
        train(replace(tiny, steps=5, check_every=2))
    assert read_folder(tiny.out).card["steps"] == saved_state(tiny)["step"] == 2
    assert saved_state(tiny)["best"] >= 0


def test_a_broken_list_is_named(tmp_path: Path) -> None:
    file = tmp_path / "runs.jsonl"
    assert read_runs(file) == []
    file.write_text('{"kind": "reader"}\n[\n')
    with pytest.raises(DataError, match="line 2"):
        read_runs(file)


def test_a_config_survives_being_written(tmp_path: Path) -> None:
    shipped, file = Path(reader_config.__file__).parent / "configs", tmp_path / "written.toml"
    reader = reader_config.read_config(shipped / "reader.toml", tmp_path)
    detector = detector_config.read_config(shipped / "detector.toml", tmp_path)
    for one in (reader, replace(reader, start='a "model"\n', real=False), ReaderTrainConfig(tmp_path)):
        file.write_text(as_toml(one, ReaderTrainConfig(tmp_path), reader_config.PLACES), encoding="utf-8")
        assert reader_config.read_config(file, tmp_path) == one
    other = Architecture((8, 8, 16, 16, 16), (1, 1, 1, 1), 24)
    for each in (detector, replace(detector, architecture=other, steps=5), DetectorTrainConfig(tmp_path)):
        file.write_text(as_toml(each, DetectorTrainConfig(tmp_path), detector_config.PLACES), encoding="utf-8")
        assert detector_config.read_config(file, tmp_path) == each


@pytest.mark.parametrize(("kind", "config"), [("reader", ReaderTrainConfig), ("detector", DetectorTrainConfig)])
def test_the_search_turns_settings_that_there_are(kind: Any, config: Any) -> None:
    defaults = config(Path("out"))
    for name, bounds in SPACE[kind].items():
        assert bounds.low <= getattr(defaults, name) <= bounds.high, name
        assert bounds.low > 0 or not bounds.by_ratio


def test_a_search_begins_with_the_given_settings_and_goes_on(tmp_path: Path) -> None:
    base = DetectorTrainConfig(tmp_path / "search", learning_rate=1e-3, resume=True)
    seen: list[DetectorTrainConfig] = []

    def pretend(config: DetectorTrainConfig) -> TrainResult:
        seen.append(config)
        # the best possible rate is 2e-3
        return TrainResult(config.out, 1, {"average_precision": -abs(config.learning_rate - 2e-3)})

    first = tune("detector", base, pretend, trials=2, minutes=0.5)
    assert first.trials == 2
    assert seen[0].learning_rate == 1e-3
    assert {(config.minutes, config.resume) for config in seen} == {(0.5, False)}
    assert [config.out.name for config in seen] == ["trial-000", "trial-001"]
    again = tune("detector", base, pretend, trials=4, minutes=0.5)
    assert (again.trials, len(seen)) == (4, 4), "finished trials are not run again"
    assert len({config.learning_rate for config in seen}) == 4, "nothing is drawn twice"
    assert again.figure == max(-abs(config.learning_rate - 2e-3) for config in seen)
    assert set(again.settings) == set(SPACE["detector"])
    with pytest.raises(TuneError, match="a detector's settings"):
        tune("reader", ReaderTrainConfig(base.out), pretend, trials=5, minutes=0.5)


def test_a_search_that_was_killed_goes_on(tmp_path: Path) -> None:
    base = DetectorTrainConfig(tmp_path)

    def fail(config: DetectorTrainConfig) -> TrainResult:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune("detector", base, fail, trials=1, minutes=1.0)
    found = tune(
        "detector", base, lambda config: TrainResult(config.out, 1, {"average_precision": 0.5}), trials=1, minutes=1.0
    )
    assert (found.trials, found.figure) == (1, 0.5)
    assert found.settings["learning_rate"] == base.learning_rate


def test_tune_and_runs_from_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLATEFLEET_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "tiny.toml").write_text(TINY, encoding="utf-8")
    arguments = ["tune", "reader", "--config", str(tmp_path / "tiny.toml"), "--out", str(tmp_path / "search")]
    done = CliRunner().invoke(cli, [*arguments, "--trials", "2", "--minutes", "5", "--threads", "1"])
    assert done.exit_code == 0, done.output
    best = tmp_path / "best.toml"
    best.write_text(done.stdout, encoding="utf-8")
    config = reader_config.read_config(best, tmp_path / "final")
    assert (config.steps, config.real, config.minutes) == (2, False, None)
    assert SPACE["reader"]["rate"].low <= config.rate <= SPACE["reader"]["rate"].high

    listed = CliRunner().invoke(cli, ["runs", "--json"])
    runs = [json.loads(line) for line in listed.stdout.splitlines()]
    assert [Path(run["out"]).name for run in runs] == ["trial-000", "trial-001"]
    assert runs[0]["config"]["rate"] == 1e-3
    assert runs[0]["weights"] == sha256_of((tmp_path / "search" / "trial-000" / "weights.pt").read_bytes())
    table = CliRunner().invoke(cli, ["runs"])
    assert table.stdout.count("finished") == 2
    assert table.stdout.count("% greedy") == 2
    nothing = CliRunner().invoke(cli, ["runs", "--runs", str(tmp_path / "none.jsonl")])
    assert nothing.exit_code == 0
    assert "no training has ended yet" in nothing.stderr
