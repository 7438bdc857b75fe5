"""Fixtures that every room's tests share: a real Kafka, free ports, the pack of real photographs."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from fleet import local_kafka

# on a busy machine an example may take any time
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a real one-node Apache Kafka without topics; tests create what they need under names of their own."""
    with local_kafka.LocalKafka(tmp_path_factory.mktemp("kafka")) as broker:
        yield broker.brokers


@pytest.fixture(scope="session")
def free_port() -> Callable[[], int]:
    """Gives a TCP port of 127.0.0.1 that nobody listens on, a new one at each call."""
    return local_kafka.free_port


@pytest.fixture(scope="session")
def data_pack() -> Path:
    """Folder of the real photographs, `../shared/data` beside the checkout."""
    folder = ROOT.parent / "shared" / "data"
    if not (folder / "scenes.jsonl").is_file():
        pytest.skip("the pack of real photographs, ../shared/data beside the checkout, is not on this machine")
    return folder
