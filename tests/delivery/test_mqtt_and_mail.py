"""MQTT to a real broker, e-mail to a real SMTP server, both on this machine."""

import asyncio
import email
import email.policy
import resource
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from aiosmtpd.controller import Controller
from amqtt.broker import Broker

from delivery.forms import Body
from delivery.mqtt_loop import MqttLoop
from delivery.senders import MqttSender, NotifySender, Refused, Unavailable, in_words
from delivery.service import Burier, make_courier
from delivery.settings import DeliverySettings
from delivery.target import Target
from plumbing.clock import SystemClock
from schemas.alert import Alert
from schemas.codec import decode_json
from tests.delivery.places import Place, alert, wait_for


class MqttBroker:
    """amqtt on a thread of its own."""

    def __init__(self, port: int) -> None:
        self._loop = asyncio.new_event_loop()
        self._port = port
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(20)

    async def _start(self) -> None:
        plugins: dict[str, Any] = {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}}
        bind = {"default": {"type": "tcp", "bind": f"127.0.0.1:{self._port}"}}
        self._broker = Broker({"listeners": bind, "plugins": plugins})
        await self._broker.start()

    def stop(self) -> None:
        """Close all connections."""
        asyncio.run_coroutine_threadsafe(self._broker.shutdown(), self._loop).result(20)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)


class Subscriber:
    """Keeps what comes on a topic."""

    def __init__(self, port: int, topic: str) -> None:
        self.messages: list[bytes] = []
        self._subscribed = threading.Event()
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        self._client.on_connect = lambda client, *_: client.subscribe(topic, qos=1)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = lambda client, data, message: self.messages.append(message.payload)
        self._client.connect("127.0.0.1", port)
        self._loop = MqttLoop(self._client)
        assert self._subscribed.wait(30)

    def close(self) -> None:
        """Leave."""
        self._loop.close()


def test_mqtt_delivers_and_comes_back(free_port: Callable[[], int]) -> None:
    port = free_port()
    place = Place()
    target = Target("gate", "mqtt", f"mqtt://127.0.0.1:{port}/fleet/alerts", timeout_s=2.0)
    running = place.start(target)
    place.raise_(alert(1))
    wait_for("tried without a broker", lambda: running.courier.status.failed >= 2)
    broker = MqttBroker(port)
    try:
        subscriber = Subscriber(port, "fleet/alerts")
        wait_for("delivered", lambda: running.courier.status.delivered == 1)
        place.raise_(alert(2), alert(3))
        wait_for("delivered", lambda: len(subscriber.messages) >= 2)
        wait_for("all", lambda: running.courier.status.delivered == 3)
        plates = {decode_json(raw, Alert).plate for raw in subscriber.messages}
        assert {"ABC002", "ABC003"} <= plates
        subscriber.close()
    finally:
        broker.stop()
    place.raise_(alert(4))
    wait_for("down again", lambda: running.courier.status.state == "down")
    again = MqttBroker(port)
    try:
        subscriber = Subscriber(port, "fleet/alerts")
        wait_for("delivered", lambda: running.courier.status.delivered == 4)
        subscriber.close()
    finally:
        place.end()
        again.stop()


def test_mqtt_delivers_from_a_process_with_many_open_files(free_port: Callable[[], int], tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4096)), hard))
    port = free_port()
    broker = MqttBroker(port)
    with ExitStack() as held:
        held.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        held.callback(broker.stop)
        # select() takes no descriptor from 1,024 on
        while held.enter_context((tmp_path / "held").open("w")).fileno() < 1100:
            pass
        subscriber = Subscriber(port, "fleet/alerts")
        sender = MqttSender(Target("gate", "mqtt", f"mqtt://127.0.0.1:{port}/fleet/alerts", timeout_s=5.0))
        sender.send(alert(1), Body("application/json", b"{}"))
        wait_for("delivered", lambda: subscriber.messages == [b"{}"])
        sender.close()
        subscriber.close()


def test_an_mqtt_broker_that_hangs_is_not_waited_for(free_port: Callable[[], int]) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        sender = MqttSender(Target("gate", "mqtt", f"mqtt://127.0.0.1:{silent.getsockname()[1]}", timeout_s=0.5))
        with pytest.raises(Unavailable, match="not logged on"):
            sender.send(alert(1), Body("application/json", b"{}"))
        sender.close()


class Mailbox:
    """Takes mail; refuses while `full`, and always for `unknown`."""

    def __init__(self) -> None:
        self.full = False
        self.unknown = ""
        self.mails: list[bytes] = []
        self.recipients: list[tuple[str, str]] = []

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: list[str]) -> str:
        if address == self.unknown:
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.full:
            return "452 mailbox full"
        self.mails.append(envelope.content)
        subject = email.message_from_bytes(envelope.content, policy=email.policy.default)["Subject"]
        self.recipients += [(address, subject) for address in envelope.rcpt_tos]
        return "250 OK"


@pytest.fixture
def smtp(free_port: Callable[[], int]) -> Iterator[tuple[Mailbox, int]]:
    box, port = Mailbox(), free_port()
    controller = Controller(box, hostname="127.0.0.1", port=port)
    controller.start()
    yield box, port
    controller.stop()


def test_mail_is_tried_until_it_is_taken_and_brings_the_picture(smtp: tuple[Mailbox, int]) -> None:
    box, port = smtp
    box.full = True
    place = Place()
    url = f"mailto://127.0.0.1:{port}?from=fleet@example.org&to=desk@example.org"
    running = place.start(Target("mail", "notify", url))
    place.raise_(alert(1))
    # the count rises a moment before the reason stands there
    wait_for("tried", lambda: running.courier.status.error == "the service did not take it")
    assert running.courier.status.failed >= 1
    box.full = False
    wait_for("delivered", lambda: bool(box.mails))
    place.end()
    mail = email.message_from_bytes(box.mails[0], policy=email.policy.default)
    assert mail["Subject"] == "ALERT high: ABC001"
    assert mail["To"] == "desk@example.org"
    parts = {part.get_content_type(): part for part in mail.walk()}
    evidence = alert(1).evidence
    assert evidence is not None
    assert parts["image/jpeg"].get_content() == evidence.crop_jpeg
    text = next(part for kind, part in parts.items() if kind.startswith("text/")).get_content()
    assert "look out" in text
    assert "cam-1" in text


def test_one_recipient_that_refuses_holds_up_no_alert_and_gets_nobody_a_mail_twice(smtp: tuple[Mailbox, int]) -> None:
    box, port = smtp
    box.unknown = "gone@example.org"
    place = Place()
    url = f"mailto://127.0.0.1:{port}?from=fleet@example.org&to=desk@example.org,{box.unknown},gate@example.org"
    running = place.start(Target("mail", "notify", url))
    place.raise_(alert(1))
    wait_for("first buried", lambda: len(place.buried) == 1)
    place.raise_(alert(2))
    wait_for("second buried", lambda: len(place.buried) == 2)
    place.end()
    assert box.recipients == [
        (who, f"ALERT high: ABC00{number}") for number in (1, 2) for who in ("desk@example.org", "gate@example.org")
    ]
    assert [why for _, why in place.buried] == ["mail refuses it, 3 times: not all of its recipients took it"] * 2
    assert (running.courier.status.dead, running.courier.status.failed) == (2, 6)


def test_each_service_of_a_target_is_told_once(smtp: tuple[Mailbox, int]) -> None:
    box, port = smtp
    box.unknown = "gone@example.org"
    mails = [f"mailto://127.0.0.1:{port}?from=fleet@example.org&to={who}" for who in (box.unknown, "desk@example.org")]
    sender = NotifySender(Target("mail", "notify", ", ".join(mails)))
    for _ in range(2):
        with pytest.raises(Refused, match="not all of its recipients"):
            sender.send(alert(1), Body("", b""))
    assert len(box.mails) == 1
    box.unknown = ""
    sender.send(alert(1), Body("", b""))
    assert [who for who, _ in box.recipients] == ["desk@example.org", "gone@example.org"]


def test_mail_that_nobody_takes_is_given_up_in_time(smtp: tuple[Mailbox, int]) -> None:
    box, port = smtp
    box.full = True
    place = Place()
    url = f"mailto://127.0.0.1:{port}?from=fleet@example.org&to=desk@example.org"
    place.start(Target("mail", "notify", url), give_up_s=0.5)
    place.raise_(alert(1))
    wait_for("buried", lambda: len(place.buried) == 1)
    box.full = False
    place.raise_(alert(2))
    wait_for("delivered", lambda: bool(box.mails))
    place.end()
    ((_, why),) = place.buried
    assert why == "mail has not taken it within 0.0 h: the service did not take it"


@pytest.mark.parametrize(("kind", "give_up_s"), [("notify", 60.0), ("webhook", None), ("mqtt", None)])
def test_only_messages_to_people_are_given_up(kind: Any, give_up_s: float | None) -> None:
    target = Target("one", kind, "mailto://example.org" if kind == "notify" else f"{kind}://example.org")
    settings = DeliverySettings("b:1", (target,), notify_give_up_s=60.0)
    clock = SystemClock()
    courier = make_courier(settings, target, Burier(settings, clock), clock, threading.Event())
    assert courier._give_up_s == give_up_s


def test_an_address_that_apprise_does_not_know_is_said_and_waits() -> None:
    with pytest.raises(Unavailable, match="none that Apprise knows"):
        NotifySender(Target("mail", "notify", "nosuch://x")).send(alert(1), Body("", b""))


def test_words_for_people() -> None:
    title, text = in_words(alert(1, "withdrawn", match="unlisted", entry="", lat=None))
    assert title == "Withdrawn high: ABC001"
    assert "not on stolen" in text
    assert "openstreetmap" not in text
    assert "mlat=52.50000" in in_words(alert(1))[1]
