"""Topics and addresses against a real broker, and against none."""

import uuid
from collections.abc import Callable
from typing import NamedTuple

import pytest

from plumbing import kafka_admin
from plumbing.bus import BusError
from plumbing.kafka_bus import (
    KafkaBusConsumer,
    KafkaBusProducer,
    KafkaSecurity,
    create_topics,
    delete_topics,
    list_topics,
    wait_for_broker,
)
from schemas.topics import TOPICS


class Spec(NamedTuple):
    """A topic to create."""

    name: str
    partitions: int
    settings: dict[str, str]

    def config(self) -> dict[str, str]:
        return self.settings


@pytest.fixture
def no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plumbing.kafka_bus.PATIENCE_S", 0.2)


def test_topics_are_created_once(kafka: str) -> None:
    name = f"admin-{uuid.uuid4().hex[:8]}"
    topics = [Spec(f"{name}-a", 3, {"cleanup.policy": "compact"}), Spec(f"{name}-b", 2, {})]
    assert create_topics(kafka, topics, partitions={f"{name}-b": 5}) == [f"{name}-a", f"{name}-b"]
    assert create_topics(kafka, topics) == []
    found = list_topics(kafka)
    assert (found[f"{name}-a"], found[f"{name}-b"]) == (3, 5)
    delete_topics(kafka, [f"{name}-a", f"{name}-b", f"{name}-c"])
    wait_for_broker(kafka, 5)


def test_every_topic_of_the_fleet_is_accepted(kafka: str) -> None:
    create_topics(kafka, TOPICS)
    found = list_topics(kafka)
    assert {topic.name: topic.partitions for topic in TOPICS}.items() <= found.items()


def test_a_refusal_names_topic_and_reason(kafka: str) -> None:
    with pytest.raises(BusError, match=r"bad-one.*cleanup") as caught:
        create_topics(kafka, [Spec("bad-one", 1, {"cleanup.policy": "burn"})])
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("no_wait")
@pytest.mark.parametrize(
    "use",
    [
        lambda brokers: KafkaBusProducer(brokers, "x"),
        lambda brokers: KafkaBusConsumer(brokers, "g", "x"),
        lambda brokers: wait_for_broker(brokers, 0.2),
        lambda brokers: create_topics(brokers, [], timeout=0.2),
    ],
)
def test_no_broker_is_one_line(use: Callable[[str], object], free_port: Callable[[], int]) -> None:
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(BusError, match=address) as caught:
        use(address)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("address", ["", "localhost", "host:port", "host:0", "host:99999", ","])
def test_malformed_addresses(address: str) -> None:
    with pytest.raises(BusError, match="localhost:9092"):
        kafka_admin.split_brokers(address)


def test_addresses() -> None:
    assert kafka_admin.split_brokers("a:1, [::1]:2") == [("a", 1), ("::1", 2)]


def test_security_hides_the_password() -> None:
    security = KafkaSecurity("SASL_SSL", "SCRAM-SHA-512", "fleet", "secret-word", ca_file="ca.pem")
    assert "secret-word" not in repr(security)
    assert security.options() == {
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "fleet",
        "sasl_plain_password": "secret-word",
        "ssl_cafile": "ca.pem",
    }
