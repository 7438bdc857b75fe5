"""One try to deliver. In: an alert and its body. Out: nothing when the target has it, else why not.

SendError
├── Unavailable   down, slow, or set up wrongly: try again until it works
└── Refused       it answers, and does not want this message, or not for all its recipients: try a few times

The text of an error names no address and no password.
"""

import asyncio
import logging
import re
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote, urlsplit

import aiohttp

from delivery.forms import Body
from delivery.mqtt_loop import MqttLoop
from delivery.sign import DELIVERY, SIGNATURE, TIMESTAMP, signature
from delivery.target import Target
from schemas.alert import Alert

if TYPE_CHECKING:
    from apprise import AppriseAttachment, NotifyBase
    from paho.mqtt.client import Client

_REFUSALS = frozenset({400, 406, 413, 415, 422})
"""Answers that mean the message; all others may be mended at the target or in the settings."""
_MOST_ASKED_S = 3600.0


class SendError(Exception):
    """The target does not have the message; `after_s`: it asked for this pause."""

    def __init__(self, message: str, after_s: float | None = None) -> None:
        super().__init__(message)
        self.after_s = after_s


class Unavailable(SendError):
    """It may work later."""


class Refused(SendError):
    """It will not work for this message."""


class Sender(Protocol):
    """A way to a target. One thread at a time."""

    def send(self, alert: Alert, body: Body) -> None:
        """Return when the target has the message.

        Raises:
            SendError: it has not, or nobody knows.
        """

    def close(self) -> None:
        """Let go of connections."""


class WebhookSender:
    """POSTs to an address; 2xx is an acknowledgement. Redirects are not followed: they could lead anywhere."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._loop = asyncio.Runner()
        self._session: aiohttp.ClientSession | None = None

    def send(self, alert: Alert, body: Body) -> None:
        """As `Sender.send`."""
        self._loop.run(self._post(alert, body))

    async def _post(self, alert: Alert, body: Body) -> None:
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=self._target.timeout_s)
            self._session = aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar())
        try:
            async with self._session.post(
                self._target.url, data=body.data, headers=self._headers(alert, body), allow_redirects=False
            ) as answer:
                _check(answer.status, answer.headers)
        except TimeoutError:
            raise Unavailable(f"no answer within {self._target.timeout_s:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # the error's own text holds the address
            raise Unavailable(f"{type(error).__name__}") from None

    def _headers(self, alert: Alert, body: Body) -> dict[str, str]:
        headers = {
            "Content-Type": body.content_type,
            "User-Agent": "platefleet",
            DELIVERY: f"{alert.alert_id}.{alert.revision}.{alert.status}",
        }
        if self._target.secret:
            now = int(time.time())
            headers[TIMESTAMP] = str(now)
            headers[SIGNATURE] = signature(self._target.secret, now, body.data)
        return headers

    def close(self) -> None:
        """As `Sender.close`."""
        if self._session is not None:
            self._loop.run(self._session.close())
        self._loop.close()


def _check(status: int, headers: Mapping[str, str]) -> None:
    if 200 <= status < 300:
        return
    asked = headers.get("Retry-After", "")
    after = min(float(asked), _MOST_ASKED_S) if re.fullmatch(r"\d{1,9}", asked) else None
    kind = Refused if status in _REFUSALS else Unavailable
    raise kind(f"answer {status}", after)


class MqttSender:
    """Publishes with QoS 1 to `mqtt://user:password@host:1883/topic` (`mqtts` for TLS), and waits for the broker."""

    def __init__(self, target: Target) -> None:
        import paho.mqtt.client as mqtt

        parts = urlsplit(target.url)
        self._timeout_s = target.timeout_s
        self._topic = unquote(parts.path.strip("/")) or "platefleet/alerts"
        self._host, secure = parts.hostname or "", parts.scheme == "mqtts"
        self._port = parts.port or (8883 if secure else 1883)
        self._mqtt = mqtt
        self._user = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
        self._secure = secure
        self._client: Client | None = None
        self._loop: MqttLoop | None = None

    def send(self, alert: Alert, body: Body) -> None:
        """As `Sender.send`."""
        client = self._connected()
        try:
            message = client.publish(self._topic, body.data, qos=1)
            message.wait_for_publish(self._timeout_s)
            if not message.is_published():
                raise Unavailable(f"no acknowledgement within {self._timeout_s:g} s")
        except (ValueError, RuntimeError) as error:
            # a new connection next time: this one would send what it has queued once more
            self.close()
            raise Unavailable(f"{type(error).__name__} while publishing") from None
        except Unavailable:
            self.close()
            raise

    def _connected(self) -> "Client":
        if self._client is not None and self._client.is_connected():
            return self._client
        self.close()
        client = self._mqtt.Client(self._mqtt.CallbackAPIVersion.VERSION2)
        if self._user:
            client.username_pw_set(*self._user)
        if self._secure:
            client.tls_set()
        client.connect_timeout = self._timeout_s
        try:
            client.connect(self._host, self._port)
        except (OSError, ValueError) as error:
            raise Unavailable(f"{type(error).__name__}: cannot connect") from None
        self._client, self._loop = client, MqttLoop(client)
        end = time.monotonic() + self._timeout_s
        while not client.is_connected():
            if time.monotonic() > end:
                self.close()
                raise Unavailable(f"not logged on within {self._timeout_s:g} s; are user and password right?")
            time.sleep(0.01)
        return client

    def close(self) -> None:
        """As `Sender.close`."""
        loop, self._client, self._loop = self._loop, None, None
        if loop is not None:
            loop.close()


class NotifySender:
    """Tells people, by any service that Apprise knows: `mailtos://`, `slack://`, `tgram://`, ...

    The alert is a title and a few lines with the plate's picture; the form of the target is not used. While a message
    is tried again, who has it is not told twice.
    """

    def __init__(self, target: Target) -> None:
        import apprise

        # its own lines may hold addresses and tokens
        logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
        services = apprise.Apprise()
        self._known = services.add(target.url)
        self._ways = [_Way(service) for service in services]
        self._delivery: tuple[str, int, str] | None = None
        self._picture = target.picture

    def send(self, alert: Alert, body: Body) -> None:
        """As `Sender.send`."""
        from apprise import AppriseAttachment
        from apprise.attachment.memory import AttachMemory

        if not self._known:
            raise Unavailable("its url is none that Apprise knows")
        attached = None
        if self._picture and alert.evidence and alert.evidence.crop_jpeg:
            attached = AppriseAttachment()
            attached.add(AttachMemory(content=alert.evidence.crop_jpeg, name="plate.jpg", mimetype="image/jpeg"))
        title, text = in_words(alert)
        delivery = (alert.alert_id, alert.revision, alert.status)
        if delivery != self._delivery:
            self._delivery = delivery
            for way in self._ways:
                way.taken = set()
        # a list: one that fails keeps the message from no other
        told = [way.tell(title, text, attached) for way in self._ways]
        if not all(told):
            if any(way.taken for way in self._ways):
                raise Refused("not all of its recipients took it")
            raise Unavailable("the service did not take it")
        self._delivery = None

    def close(self) -> None:
        """As `Sender.close`."""


class _Way:
    """One service of a target, and who of its recipients has the message."""

    def __init__(self, service: "NotifyBase") -> None:
        import apprise

        # the courier tries again; Apprise's own tries would begin with an empty set
        service.retry = 0
        self._apprise = apprise.Apprise()
        self._apprise.add(service)
        self.taken: set[tuple[int | None, Any]] = set()

    def tell(self, title: str, text: str, attached: "AppriseAttachment | None") -> bool:
        """Whether all recipients have it; those in `taken` are passed over."""
        # Apprise passes over who took a message, but in its own tries alone; services have no other door to that
        from apprise.plugins.base import _delivery_tracker

        token = _delivery_tracker.set(self.taken)
        try:
            return bool(self._apprise.notify(title=title, body=text, attach=attached))
        finally:
            _delivery_tracker.reset(token)


def in_words(alert: Alert) -> tuple[str, str]:
    """Title and text for people."""
    what = {"raised": "ALERT", "withdrawn": "Withdrawn"}[alert.status]
    met = f"{alert.match} match of {alert.entry} on {alert.hotlist_id}" if alert.entry else f"not on {alert.hotlist_id}"
    lines = [
        f"{alert.plate} ({alert.confidence:.0%}), seen by {alert.camera_id} at {alert.seen_at:%Y-%m-%d %H:%M:%S %Z}",
        f"{met}, probability {alert.match_probability:.0%}",
        *([alert.reason] if alert.reason else []),
        *(
            [f"https://www.openstreetmap.org/?mlat={alert.lat:.5f}&mlon={alert.lon:.5f}"]
            if alert.lat is not None and alert.lon is not None
            else []
        ),
        f"alert {alert.alert_id}, revision {alert.revision}",
    ]
    return f"{what} {alert.priority}: {alert.plate}", "\n".join(lines)


def open_sender(target: Target) -> Sender:
    """The sender of a target's kind."""
    if target.kind == "webhook":
        return WebhookSender(target)
    return MqttSender(target) if target.kind == "mqtt" else NotifySender(target)
