"""Alerts, a bus in memory, and an HTTP server that does what it is told, for the tests of deliveries."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from delivery.courier import Courier
from delivery.senders import Sender, open_sender
from delivery.target import Target
from plumbing.bus import Record, TopicPartition
from plumbing.clock import SystemClock, from_ms
from plumbing.memory_bus import MemoryBus
from plumbing.retry import Backoff
from schemas.alert import Alert
from schemas.codec import encode_json
from schemas.ids import alert_id
from schemas.read import Candidate
from schemas.sighting import Evidence
from schemas.topics import ALERTS

T = 1_780_000_000_000
CORNERS = ((10.0, 20.0), (110.0, 22.0), (109.0, 50.0), (9.0, 48.0))


def alert(number: int = 1, status: str = "raised", **more: Any) -> Alert:
    """An invented alert."""
    plate = f"ABC{number:03d}"
    fields: dict[str, Any] = {
        "alert_id": alert_id("stolen", plate, f"s{number}"),
        "status": status,
        "hotlist_id": "stolen",
        "entry": plate,
        "plate": plate,
        "match": "exact",
        "match_probability": 0.875,
        "camera_id": "cam-1",
        "seen_at": from_ms(T + number),
        "confidence": 0.875,
        "lat": 52.5,
        "lon": 13.25,
        "heading": 90.0,
        "speed": 12.0,
        "sighting_id": "0a23cd66-15fa-52b1-b044-678f8509c58b",
        "revision": 1,
        "priority": "high",
        "reason": "look out",
        "emitted_at": from_ms(T),
        "region": "US-CA",
        "region_confidence": 0.5,
        "candidates": (Candidate(plate, 0.875), Candidate("A8C001", 0.125)),
        "direction": "approaching",
        "first_seen": from_ms(T - 1000),
        "evidence": Evidence(
            seq=7,
            captured_at=from_ms(T),
            corners=CORNERS,
            crop_jpeg=b"\xff\xd8\r\n--crop\xff\xd9",
            crop_sha256="",
            frame_sha256="",
            topic="fleet.frames",
            partition=0,
            offset=0,
        ),
    }
    return Alert(**(fields | more))


class Hook:
    """A web server; `script` says what it does with the next requests, afterwards it accepts.

    A number is the status to answer, a mapping headers of a 503, a float seconds to stay silent before it hangs up.
    """

    def __init__(self, port: int = 0, *script: int | float | Mapping[str, str]) -> None:
        self.script = deque(script)
        self.accepted: list[tuple[dict[str, str], bytes]] = []
        self.tries = 0
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.tries += 1
                step = hook.script.popleft() if hook.script else 200
                if isinstance(step, float):
                    time.sleep(step)
                    return
                status = step if isinstance(step, int) else 503
                if status < 300:
                    hook.accepted.append((dict(self.headers), body))
                self.send_response(status)
                for name, value in step.items() if isinstance(step, Mapping) else ():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Silent."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True

            def handle_error(self, *_: object) -> None:
                """A client that hung up is part of the tests."""

        self._server = Server(("127.0.0.1", port), Handler)
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}/hook?token=SECRET-TOKEN"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        """Refuse connections from now on."""
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> Hook:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def wait_for(what: str, done: Callable[[], bool], seconds: float = 20.0) -> None:
    """Ask until `done` says yes."""
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, f"{what}: not within {seconds} s"
        time.sleep(0.02)


@dataclass
class Running:
    """A courier on its thread."""

    courier: Courier
    thread: threading.Thread
    stop: threading.Event

    def end(self) -> None:
        """Stop and wait."""
        self.stop.set()
        self.thread.join(20)
        assert not self.thread.is_alive()


class Place:
    """fleet.alerts in memory, and couriers that deliver from it."""

    def __init__(self) -> None:
        self.bus = MemoryBus()
        self.bus.create_topic(ALERTS.name, 2)
        self.producer = self.bus.producer()
        self.buried: list[tuple[Record, str]] = []
        self.running: list[Running] = []
        self.begins = dict.fromkeys((TopicPartition(ALERTS.name, n) for n in range(2)), 0)

    def raise_(self, *alerts: Alert | bytes) -> None:
        """Put alerts on the topic."""
        for one in alerts:
            value = one if isinstance(one, bytes) else encode_json(one)
            key = b"x" if isinstance(one, bytes) else one.plate.encode()
            self.producer.send(ALERTS.name, value, key=key).result(5)

    def start(self, target: Target, sender: Sender | None = None, give_up_s: float | None = None) -> Running:
        """Deliver to a target."""
        stop = threading.Event()
        courier = Courier(
            target,
            sender or open_sender(target),
            lambda: self.bus.consumer(f"deliver-{target.name}"),
            lambda since_ms: self.begins,
            ALERTS.name,
            lambda record, why: self.buried.append((record, why)),
            SystemClock(),
            stop,
            backoff=Backoff(first=0.05, most=0.2),
            refusals=3,
            give_up_s=give_up_s,
        )
        thread = threading.Thread(target=courier.run, daemon=True)
        running = Running(courier, thread, stop)
        self.running.append(running)
        thread.start()
        return running

    def end(self) -> None:
        """Stop all couriers."""
        for one in self.running:
            one.stop.set()
        for one in self.running:
            one.thread.join(20)
