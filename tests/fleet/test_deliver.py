"""Targets as settings, and `platefleet deliver` as a process on a real Kafka."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import get_args

import pytest

from delivery.target import FORMS, Kind
from fleet.local_kafka import LocalKafka
from fleet.rooms import delivery_settings
from fleet.settings import PREFIX, SettingsError, load_settings
from fleet.targets import TargetSettings
from fleet.topic_reader import read_topic
from plumbing.kafka_admin import NO_SECURITY, create_topics
from plumbing.kafka_bus import KafkaBusProducer
from schemas.alert import Alert
from schemas.codec import decode_dead, decode_json, encode_json
from schemas.topics import ALERTS, DEAD, TOPICS
from tests.delivery.places import Hook, alert, wait_for

ROOT = Path(__file__).resolve().parents[2]
TABLE = """
[targets.desk]
url = "https://user:pa55word@hooks.example/plates"
secret = "s3cret"
form = "openalpr_alert"
lists = ["stolen"]
priorities = ["high"]
[targets.gate]
kind = "mqtt"
url = "mqtt://broker.example/alerts"
"""


@pytest.fixture
def clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_targets_from_toml_and_from_a_variable(clean: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (clean / "platefleet.toml").write_text(TABLE)
    desk, gate = delivery_settings(load_settings(), "b:1").targets
    assert (desk.name, desk.form, desk.secret, desk.lists) == ("desk", "openalpr_alert", "s3cret", ("stolen",))
    assert (gate.kind, gate.url) == ("mqtt", "mqtt://broker.example/alerts")
    assert "pa55word" not in repr(load_settings())
    assert "s3cret" not in repr(load_settings())
    monkeypatch.setenv("PLATEFLEET_TARGETS", '{"other": {"url": "http://x.example/"}}')
    assert "other" in load_settings().targets


@pytest.mark.parametrize(
    ("table", "match"),
    [
        ('url = "ftp://SECRET/"', "targets.t.*begins with http:// or https://"),
        ('url = "SECRET"', "targets.t.url .*no address"),
        ('url = "http://SECRET:99999/"', "targets.t.url .*no address"),
        ('url = "http://SECRET/"\ncolour = "red"', "targets.t.colour"),
        ('url = "http://SECRET/"\nform = "frigate"', "targets.t.form"),
        ('url = "http://SECRET/"\npriorities = ["urgent"]', "targets.t.priorities"),
        ('kind = "mqtt"\nurl = "mqtt://SECRET/"\nsecret = "SECRET"', "a secret signs webhooks"),
        ('kind = "notify"\nurl = "mailto://SECRET/"\nform = "openalpr_group"', "it has no form"),
    ],
)
def test_wrong_targets_are_told_without_their_secrets(clean: Path, table: str, match: str) -> None:
    (clean / "platefleet.toml").write_text(f"[targets.t]\n{table}\n")
    with pytest.raises(SettingsError, match=match) as caught:
        load_settings()
    assert "SECRET" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_target_needs_a_plain_name(clean: Path) -> None:
    (clean / "platefleet.toml").write_text('[targets."a b"]\nurl = "http://x.example/"\n')
    with pytest.raises(SettingsError, match="targets"):
        load_settings()


def test_the_page_names_every_field_of_a_target_and_every_kind_and_form() -> None:
    page = (ROOT / "docs" / "alerts.md").read_text("utf-8")
    for word in (*TargetSettings.model_fields, *get_args(Kind), *FORMS):
        assert re.search(rf"\b{word}\b", page), word


@pytest.fixture(scope="module")
def brokers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with LocalKafka(tmp_path_factory.mktemp("kafka")) as kafka:
        create_topics(kafka.brokers, TOPICS)
        yield kafka.brokers


class Deliver:
    """`platefleet deliver` with these targets."""

    def __init__(self, brokers: str, data: Path, targets: dict[str, dict[str, object]], **extra: str) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
        told = {"PLATEFLEET_DATA_DIR": str(data), "PLATEFLEET_TARGETS": json.dumps(targets), **extra}
        self.env = kept | told | {"PLATEFLEET_BROKERS": brokers}
        self.log = data / "deliver.log"
        self._ready = data / "ready"
        self._ready.unlink(missing_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "fleet", "deliver", "--ready-file", str(self._ready)],
                cwd=ROOT, env=self.env, stderr=log, stdout=log,
            )  # fmt: skip
        wait_for("ready", lambda: self._ready.exists() or self.process.poll() is not None, 60)
        assert self.process.poll() is None, self.log.read_text()

    def command(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "fleet", "deliver", *arguments],
            cwd=ROOT, env=self.env, capture_output=True, text=True, timeout=60,
        )  # fmt: skip

    def status(self, name: str) -> dict[str, object]:
        targets = json.loads(self.command("--status", "--json").stdout)["targets"]
        return next(one for one in targets if one["target"] == name)

    def end(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)
        self.process.wait(20)


def send(brokers: str, *alerts: Alert | bytes) -> None:
    producer = KafkaBusProducer(brokers, "test")
    for one in alerts:
        value = one if isinstance(one, bytes) else encode_json(one)
        producer.send(ALERTS.name, value, key=b"x" if isinstance(one, bytes) else one.plate.encode())
    producer.flush(20)
    producer.close()


def plates(hook: Hook) -> set[str]:
    return {decode_json(body, Alert).plate for _, body in hook.accepted}


def test_killed_and_started_again_it_loses_nothing_and_tells_how_far_it_is(
    brokers: str, tmp_path: Path, free_port: Callable[[], int]
) -> None:
    away, metrics = free_port(), free_port()
    with Hook() as desk:
        targets: dict[str, dict[str, object]] = {
            "desk": {"url": desk.url, "secret": "s3cret"},
            "away": {"url": f"http://127.0.0.1:{away}/?token=SECRET"},
        }
        extra = {"PLATEFLEET_DELIVER_METRICS_PORT": str(metrics), "PLATEFLEET_DELIVER_WAIT_SECONDS": "1"}
        deliver = Deliver(brokers, tmp_path, targets, **extra)
        send(brokers, *(alert(n) for n in range(1, 31)), b"{")
        wait_for("delivered", lambda: len(plates(desk)) == 30, 40)
        wait_for("told", lambda: deliver.status("away")["backlog"] in (30, 31), 20)
        assert deliver.status("away")["state"] == "down"
        table = deliver.command("--status").stdout
        assert "away" in table
        text = urllib.request.urlopen(f"http://127.0.0.1:{metrics}/metrics", timeout=5).read().decode()
        assert 'platefleet_delivery_target_up{target="away"} 0.0' in text
        assert 'platefleet_delivery_alerts_total{outcome="delivered",target="desk"} 30.0' in text
        deliver.end(signal.SIGKILL)
        send(brokers, *(alert(n) for n in range(31, 41)))
        again = Deliver(brokers, tmp_path, targets, **extra)
        with Hook(away) as back:
            wait_for("all at desk", lambda: len(plates(desk)) == 40, 60)
            wait_for("all at the one that was away", lambda: len(plates(back)) == 40, 60)
            tested = again.command("--test", "desk")
            assert tested.returncode == 0, tested
            assert "TEST001" in plates(desk)
            again.end()
        assert again.process.returncode == 0
    letters = [decode_dead(record.headers)[0] for record in read_topic(brokers, DEAD.name, NO_SECURITY)]
    assert {letter.stage for letter in letters} == {"delivery"}
    logged = deliver.log.read_text()
    assert "deliver to away: down" in logged
    assert "SECRET" not in logged
    assert "s3cret" not in logged


def test_what_cannot_be_done_is_one_line(brokers: str, clean: Path) -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    env |= {"PLATEFLEET_DATA_DIR": str(clean), "PLATEFLEET_BROKERS": brokers}
    for arguments, told in (
        ([], "no target is set"),
        (["--status"], "no deliveries have run"),
        (["--test", "x"], "no target x; set are: none"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "fleet", "deliver", *arguments],
            cwd=ROOT, env=env, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert done.returncode == 1
        assert told in done.stderr
        assert "Traceback" not in done.stderr
