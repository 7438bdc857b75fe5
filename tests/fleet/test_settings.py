"""Settings: which source wins, what is refused and how it is worded, and that the page is the model."""

from pathlib import Path

import pytest

from fleet.rooms import kafka_security, stream_settings, topic_partitions, worker_settings
from fleet.settings import PREFIX, SettingsError, load_settings
from fleet.settings_page import settings_page

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def _refused(match: str) -> None:
    with pytest.raises(SettingsError, match=match) as caught:
        load_settings()
    assert "\n" not in str(caught.value)


def test_variable_beats_dotenv_beats_toml_beats_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().batch_frames == 16
    (tmp_path / "platefleet.toml").write_text('batch_frames = 2\nreader = "toml"\ndetector = "toml"\n')
    (tmp_path / ".env").write_text("PLATEFLEET_READER=dotenv\nPLATEFLEET_DETECTOR=dotenv\nOTHER=1\n")
    monkeypatch.setenv("PLATEFLEET_DETECTOR", "variable")
    settings = load_settings()
    assert (settings.batch_frames, settings.reader, settings.detector) == (2, "dotenv", "variable")


def test_named_toml_file_and_its_absence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "other.toml").write_text("partitions = 3")
    monkeypatch.setenv("PLATEFLEET_CONFIG", str(tmp_path / "other.toml"))
    assert topic_partitions(load_settings())["fleet.frames"] == 3
    monkeypatch.setenv("PLATEFLEET_CONFIG", "nowhere.toml")
    _refused("PLATEFLEET_CONFIG: nowhere.toml: no such file")


def test_unknown_names_are_refused_with_the_nearest_known_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLATEFLEET_THREDS", "2")
    _refused("environment: unknown setting PLATEFLEET_THREDS; did you mean PLATEFLEET_THREADS")
    monkeypatch.delenv("PLATEFLEET_THREDS")
    (tmp_path / ".env").write_text("PLATEFLEET_BROKER=x:1")
    _refused(r"\.env: unknown setting PLATEFLEET_BROKER; did you mean PLATEFLEET_BROKERS")
    (tmp_path / ".env").unlink()
    (tmp_path / "platefleet.toml").write_text("data_dri = 'x'")
    _refused(r"platefleet\.toml: unknown setting data_dri; did you mean data_dir")


@pytest.mark.parametrize(
    ("name", "value", "match"),
    [
        ("THREADS", "many", "PLATEFLEET_THREADS: .*integer.*'many'"),
        ("KAFKA_PORT", "70000", "PLATEFLEET_KAFKA_PORT: .*65535"),
        ("PRECISION", "int8", "PLATEFLEET_PRECISION: .*'fp16'"),
        ("DEVICE", "tpu", "PLATEFLEET_DEVICE"),
        ("GAP_SECONDS", "0", "PLATEFLEET_GAP_SECONDS: .*greater than 0"),
        ("STORE_URL", "chdb:///folder", "PLATEFLEET_STORE_URL: .*leave it unset"),
        ("RAY_ADDRESS", "ray://head:10001", "PLATEFLEET_RAY_ADDRESS: .*write head:6379"),
    ],
)
def test_wrong_values_name_the_variable(monkeypatch: pytest.MonkeyPatch, name: str, value: str, match: str) -> None:
    monkeypatch.setenv(PREFIX + name, value)
    _refused(match)


@pytest.mark.parametrize(
    ("pairs", "match"),
    [
        ({"BROKERS": "k:9092", "KAFKA_PORT": "9092"}, "PLATEFLEET_KAFKA_PORT contradicts PLATEFLEET_BROKERS"),
        ({"STORE_URL": "http://c:8123", "STORE_PORT": "1"}, "PLATEFLEET_STORE_PORT contradicts PLATEFLEET_STORE_URL"),
        ({"DEVICE": "cpu", "NUM_GPUS": "1"}, "PLATEFLEET_NUM_GPUS contradicts PLATEFLEET_DEVICE"),
        ({"DEVICE": "cuda", "NUM_GPUS": "0"}, "PLATEFLEET_DEVICE contradicts PLATEFLEET_NUM_GPUS"),
        ({"ENGINE": "onnx", "DEVICE": "cuda"}, "PLATEFLEET_ENGINE contradicts PLATEFLEET_DEVICE"),
        ({"ENGINE": "openvino", "DEVICE": "cuda:1"}, "PLATEFLEET_ENGINE contradicts PLATEFLEET_DEVICE"),
        ({"ENGINE": "onnx", "NUM_GPUS": "0.5"}, "PLATEFLEET_ENGINE contradicts PLATEFLEET_NUM_GPUS"),
        ({"ENGINE": "onnx-int8", "PRECISION": "bf16"}, "PLATEFLEET_ENGINE contradicts PLATEFLEET_PRECISION"),
        ({"BROKERS": "k:1", "KAFKA_PROTOCOL": "SASL_SSL"}, "KAFKA_MECHANISM contradicts PLATEFLEET_KAFKA_PROTOCOL"),
        ({"KAFKA_PROTOCOL": "SSL"}, "PLATEFLEET_KAFKA_PROTOCOL contradicts PLATEFLEET_BROKERS"),
        ({"MAX_IN_FLIGHT": "4"}, "PLATEFLEET_MAX_IN_FLIGHT contradicts PLATEFLEET_BATCH_FRAMES"),
    ],
)
def test_contradictions_name_both(monkeypatch: pytest.MonkeyPatch, pairs: dict[str, str], match: str) -> None:
    for name, value in pairs.items():
        monkeypatch.setenv(PREFIX + name, value)
    _refused(match)


def test_secrets_are_neither_printed_nor_repeated_in_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLATEFLEET_STORE_URL", "clickhouse://fleet:hush-hush@c:9000/fleet")
    assert "hush-hush" not in repr(load_settings())
    monkeypatch.setenv("PLATEFLEET_STORE_URL", "ftp://fleet:hush-hush@c")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert "hush-hush" not in str(caught.value)


def test_empty_variables_count_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLATEFLEET_NUM_GPUS", "")
    assert load_settings().num_gpus is None


def test_rooms_get_what_was_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "THREADS": "3", "GAP_SECONDS": "2.5", "STREAM_ROLES": "tracker, vehicles", "BROKERS": "k:9093",
        "KAFKA_PROTOCOL": "SASL_SSL", "KAFKA_MECHANISM": "PLAIN", "KAFKA_USERNAME": "u", "KAFKA_PASSWORD": "p",
    }.items():  # fmt: skip
        monkeypatch.setenv(PREFIX + name, value)
    settings = load_settings()
    workers = worker_settings(settings, "k:9093", realtime=True)
    assert (workers.readers, workers.reader.threads) == (2, 1)
    streams = stream_settings(settings, "k:9093", "")
    assert streams.roles == ("tracker", "vehicles")
    assert streams.tracker.gap_s == 2.5
    assert kafka_security(settings).options()["sasl_plain_password"] == "p"
    assert settings.data_dir == tmp_path / "data"


def test_the_page_is_what_the_model_says() -> None:
    assert (ROOT / "docs" / "settings.md").read_text(encoding="utf-8") == settings_page()
