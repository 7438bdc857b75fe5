"""Waiting for what a process needs. In: an address. Out: True when it is there, an error when it never comes."""

import threading
import time

from plumbing.bus import BusError
from plumbing.kafka_bus import KafkaSecurity, list_topics
from schemas.topics import TOPICS


def wait_for_topics(brokers: str, timeout: float, stop: threading.Event, security: KafkaSecurity) -> bool:
    """True when the broker answers and every topic is there; False when `stop` was set before.

    Raises:
        BusError: not within `timeout` seconds; the text says what is missing.
    """
    deadline = time.monotonic() + timeout
    wanted = {topic.name for topic in TOPICS}
    while True:
        try:
            missing = wanted - list_topics(brokers, timeout=0.5, security=security).keys()
            if not missing:
                return True
            error = BusError(
                f"topics {', '.join(sorted(missing))} are missing at {brokers}; create them by `platefleet topics`"
            )
        except BusError as refused:
            error = refused
        if time.monotonic() >= deadline:
            raise error
        if stop.wait(0.2):
            return False
