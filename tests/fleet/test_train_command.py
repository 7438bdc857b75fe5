"""`platefleet train` and `tune`: what a file of settings says holds, unless the command line says otherwise."""

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from fleet.commands.train import train
from fleet.commands.tune import tune
from vision.training.runs import TrainResult
from vision.training.search_space import FIGURE


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Any]:
    """The settings that each training was started with; none is run."""
    configs: list[Any] = []

    def note(config: Any, *, runs: Path | None = None) -> TrainResult:
        configs.append(config)
        return TrainResult(config.out, 1, {name: 0.5 for names in FIGURE.values() for name in names})

    monkeypatch.setenv("PLATEFLEET_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("PLATEFLEET_THREADS", "2")
    for kind in ("reader", "detector"):
        monkeypatch.setattr(f"vision.training.train_{kind}.train", note)
    return configs


@pytest.mark.parametrize("kind", ["reader", "detector"])
def test_a_file_is_heard_and_the_command_line_goes_over_it(kind: str, asked: list[Any], tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text('threads = 1\nworkers = 2\nlicence = "permissive"\nsteps = 40\n')
    plain = [kind, "--config", str(file), "--out", str(tmp_path / "out")]
    for arguments in (plain, [*plain, "--threads", "3", "--workers", "1", "--licence", "stated", "--steps", "5"]):
        result = CliRunner().invoke(train, arguments, catch_exceptions=False)
        assert result.exit_code == 0
    assert [(c.threads, c.workers, c.licence, c.steps) for c in asked] == [
        (1, 2, "permissive", 40),
        (3, 1, "stated", 5),
    ]


@pytest.mark.parametrize("kind", ["reader", "detector"])
def test_so_does_a_search(kind: str, asked: list[Any], tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text('threads = 1\nworkers = 2\nlicence = "permissive"\n')
    plain = [kind, "--config", str(file), "--trials", "1", "--out"]
    for arguments in (
        [*plain, str(tmp_path / "a")],
        [*plain, str(tmp_path / "b"), "--threads", "3", "--workers", "1", "--licence", "stated"],
    ):
        CliRunner().invoke(tune, arguments, catch_exceptions=False)
    assert [(c.threads, c.workers, c.licence) for c in asked] == [(1, 2, "permissive"), (3, 1, "stated")]


@pytest.mark.parametrize("kind", ["reader", "detector"])
def test_without_a_file_the_settings_say_how_many_threads(kind: str, asked: list[Any], tmp_path: Path) -> None:
    CliRunner().invoke(train, [kind, "--out", str(tmp_path / "out"), "--steps", "5"], catch_exceptions=False)
    assert [(c.threads, c.workers, c.licence, c.steps) for c in asked] == [(2, 1, "any", 5)]
