"""Kafka clients repeat themselves a hundred times a second while a broker is away: pass each sentence now and then."""

import logging
import time

_LOGGERS = (
    "aiokafka",
    "aiokafka.cluster",
    "aiokafka.conn",
    "aiokafka.consumer.consumer",
    "aiokafka.consumer.fetcher",
    "aiokafka.consumer.group_coordinator",
    "aiokafka.producer.producer",
    "aiokafka.producer.sender",
)
_MOST = 1_000


class NowAndThen(logging.Filter):
    """Passes a record when the like of it (same logger, same format) was not passed within `seconds`."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds
        self._last: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """True to let it through."""
        key = (record.name, str(record.msg)[:200])
        now = time.monotonic()
        if now - self._last.get(key, -self._seconds) < self._seconds:
            return False
        if len(self._last) >= _MOST:
            self._last.clear()
        self._last[key] = now
        return True


def quieten(seconds: float = 10.0) -> None:
    """Do so for the clients that Faust uses."""
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(f, NowAndThen) for f in logger.filters):
            logger.addFilter(NowAndThen(seconds))
