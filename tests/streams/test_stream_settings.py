"""Settings that contradict each other are refused; a secured cluster gets what it wants; logs do not flood."""

import gc
import logging
from pathlib import Path

import pytest

from plumbing.bus import BusError
from plumbing.kafka_admin import KafkaSecurity
from streams.__main__ import main
from streams.app import _credentials, make_app, run
from streams.quiet import NowAndThen
from streams.settings import StreamSettings


def test_roles_and_their_needs() -> None:
    with pytest.raises(ValueError, match="roles"):
        StreamSettings(brokers="a:1", data_dir=Path("x"), roles=("tracker", "cook"))
    with pytest.raises(ValueError, match="store_url"):
        StreamSettings(brokers="a:1", data_dir=Path("x"))
    settings = StreamSettings(brokers="a:1", data_dir=Path("x"), roles=("tracker",))
    with pytest.raises(ValueError, match="cook"):
        make_app(settings, "cook", 1)


def test_a_process_seldom_looks_for_cycles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(_: StreamSettings) -> dict[str, int]:
        raise BusError("no broker")

    monkeypatch.setattr("streams.app.source_partitions", unreachable)
    before = gc.get_threshold()
    try:
        with pytest.raises(BusError):
            run(StreamSettings(brokers="a:1", data_dir=tmp_path, roles=("tracker",)))
        assert gc.get_threshold() == (100_000, *before[1:])
    finally:
        gc.set_threshold(*before)


def test_logging_on() -> None:
    assert _credentials(KafkaSecurity()) is None
    sasl = _credentials(KafkaSecurity("SASL_SSL", "SCRAM-SHA-512", "fleet", "secret"))
    assert sasl is not None
    assert sasl.protocol.value == "SASL_SSL"
    assert "secret" not in repr(sasl)
    tls = _credentials(KafkaSecurity("SSL"))
    assert tls is not None
    assert tls.protocol.value == "SSL"


@pytest.mark.parametrize(
    ("argument", "says"),
    [("{", "bad settings"), ('{"brokers": "a:1"}', "data_dir"), ('{"brokers":"a:1","data_dir":"x"}', "store_url")],
)
def test_bad_settings_are_one_line(argument: str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([argument]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1


def test_no_broker_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], free_port, monkeypatch) -> None:
    import streams.app

    monkeypatch.setattr(streams.app, "PATIENCE_S", 0.5)
    address = f"127.0.0.1:{free_port()}"
    argument = f'{{"brokers":"{address}","data_dir":"{tmp_path}","roles":["tracker"]}}'
    assert main([argument]) == 1
    assert address in capsys.readouterr().err.splitlines()[-1]


def test_the_same_sentence_passes_now_and_then() -> None:
    sieve = NowAndThen(60.0)
    records = [logging.LogRecord("kafka", 30, "", 0, "broker %d away", (i,), None) for i in range(5)]
    other = logging.LogRecord("kafka", 30, "", 0, "broker is back", (), None)
    assert [sieve.filter(r) for r in [*records, other]] == [True, False, False, False, False, True]
