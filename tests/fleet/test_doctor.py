"""Doctor: a good machine has no failure, and each kind of fault is named with its cure."""

import hashlib
import json
import re
import shutil
import socket
from pathlib import Path

import pytest

from fleet.doctor import Finding, _engine, examine
from fleet.local_kafka import HOST
from fleet.settings import Settings, load_settings
from vision.registry import DEFAULTS, WEIGHTS


def _by_check(settings: Settings) -> dict[str, Finding]:
    return {finding.check: finding for finding in examine(settings)}


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.chdir(tmp_path)
    return load_settings(data_dir=tmp_path / "data", precision="fp32", device="cpu")


def test_this_machine_can_run_it(settings: Settings) -> None:
    found = _by_check(settings)
    assert {name: one for name, one in found.items() if one.state == "fail"} == {}
    assert {"Python", "memory", "disk", "Java", "detector", "reader", "store", "device"} <= found.keys()
    assert found["engine"].found.startswith("detector torch, reader torch (for fp32)")
    assert all(one.mend for one in found.values() if one.state != "ok")
    assert not (settings.data_dir).exists(), "looking changes nothing"


def test_faults_are_named_with_their_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    model = tmp_path / "model"
    model.mkdir()
    good = WEIGHTS / DEFAULTS["reader"]
    card = json.loads((good / "card.json").read_text())
    (model / "card.json").write_text(json.dumps(card))
    (model / card["weights"]).write_bytes(b"other")
    assert hashlib.sha256(b"other").hexdigest() != card["sha256"]
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        found = _by_check(
            load_settings(
                data_dir=tmp_path, cache_dir=tmp_path / "cache", kafka_port=taken.getsockname()[1], reader=str(model),
                detector="ghost", device="cuda:99", store_url="http://127.0.0.1:1/",
            )
        )  # fmt: skip
    states = {name: one.state for name, one in found.items()}
    assert {"detector", "reader", "device", "store", "Kafka's port"} == {n for n, s in states.items() if s == "fail"}
    assert "ghost" in found["detector"].found
    assert "PLATEFLEET_KAFKA_PORT" in found["Kafka's port"].mend
    assert found["Kafka 4.3.0"].state == "warn"
    assert "fetches them" in found["Kafka 4.3.0"].mend


def test_the_race_of_the_engines_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    chosen = load_settings(data_dir=tmp_path / "data", cache_dir=tmp_path / "cache", device="cpu", brokers="k:1")
    told = next(_engine(chosen))
    assert told.state == "ok"
    if "measured" in told.found:
        assert re.search(r"detector torch \d+\.\d.*; reader torch \d+\.\d", told.found)
    bare = tmp_path / "bare"
    shutil.copytree(WEIGHTS / DEFAULTS["detector"], bare)
    card = json.loads((bare / "card.json").read_text())
    card.pop("variants", None)
    (bare / "card.json").write_text(json.dumps(card))
    wanted = load_settings(data_dir=tmp_path / "data", cache_dir=tmp_path, detector=str(bare), engine="onnx-int8")
    told = next(_engine(wanted))
    assert (told.state, "bare has no onnx-int8 variant" in told.found) == ("fail", True)
    assert "platefleet export" in told.mend
