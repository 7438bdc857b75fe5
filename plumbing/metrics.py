"""Every metric of the fleet, once: name, type, meaning, labels. In: what the rooms count. Out: Prometheus text.

Names end in their unit (`_seconds`, `_bytes`), counters in `_total` on the wire. Add a metric here, not in a room.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server
from prometheus_client import generate_latest as _generate

from plumbing.bus import BusError

REGISTRY = CollectorRegistry()
_BATCH_SIZES = (1, 2, 4, 8, 12, 16, 24, 32, 64)
_STAGE_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_LATENCY_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0, 300.0)


def _counter(name: str, meaning: str, *labels: str) -> Counter:
    return Counter(f"platefleet_{name}", meaning, labels, registry=REGISTRY)


def _gauge(name: str, meaning: str, *labels: str) -> Gauge:
    return Gauge(f"platefleet_{name}", meaning, labels, registry=REGISTRY)


def _histogram(name: str, meaning: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
    return Histogram(f"platefleet_{name}", meaning, labels, registry=REGISTRY, buckets=buckets)


WORKER_RECORDS_IN = _counter("worker_records_in", "Records taken from fleet.frames")
WORKER_PICTURES_READ = _counter("worker_pictures_read", "Pictures whose reads are acknowledged by fleet.reads")
WORKER_PLATES_READ = _counter("worker_plates_read", "Plates found in them")
WORKER_DEAD = _counter("worker_dead", "Records sent to fleet.dead, by reason", "reason")
WORKER_BAD_POSITIONS = _counter("worker_bad_positions", "Positions taken out because they are not on the globe")
WORKER_BATCH_RECORDS = _histogram("worker_batch_records", "Records per batch given to a reader", _BATCH_SIZES)
WORKER_STAGE_SECONDS = _histogram(
    "worker_stage_seconds", "Time of one batch in one stage (decode, vision, encode, wait)", _STAGE_SECONDS, "stage"
)
WORKER_LATENCY_SECONDS = _histogram(
    "worker_latency_seconds", "Broker timestamp of a frame to the acknowledgement of its reads", _LATENCY_SECONDS
)
WORKER_IN_FLIGHT = _gauge("worker_in_flight_records", "Records taken and not yet acknowledged")
WORKER_IN_FLIGHT_BYTES = _gauge("worker_in_flight_bytes", "Their bytes")
WORKER_PAUSED = _gauge("worker_paused", "1 while back-pressure holds the partitions, else 0")
WORKER_LAG = _gauge("worker_lag_records", "Records between position and end of a partition", "partition")
WORKER_COMMITS = _counter("worker_commits", "Commits by result (ok, refused)", "result")
WORKER_READER_DEATHS = _counter("worker_reader_deaths", "Reader actors that died and were started again")
WORKER_READERS = _gauge("worker_readers_ready", "Reader actors that can take a batch")

DELIVERY_SENT = _counter(
    "delivery_alerts", "Alerts by target and outcome (delivered, skipped, dead)", "target", "outcome"
)
DELIVERY_FAILED = _counter("delivery_failed_tries", "Tries that a target did not acknowledge", "target")
DELIVERY_BACKLOG = _gauge("delivery_backlog_alerts", "Alerts that a target does not have yet", "target")
DELIVERY_DELAY = _gauge("delivery_delay_seconds", "Age of the oldest alert that a target does not have yet", "target")
DELIVERY_UP = _gauge("delivery_target_up", "1 when the last try was acknowledged, 0 when it was not", "target")


def render() -> bytes:
    """All metrics as Prometheus text."""
    return _generate(REGISTRY)


class MetricsServer:
    """Serves the metrics over HTTP until it is closed. Port 0: a free one, see `port`.

    Raises:
        BusError: the port is in use or not allowed.
    """

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        try:
            self._server, self._thread = start_http_server(port, addr=host, registry=REGISTRY)
        except OSError as error:
            raise BusError(
                f"cannot serve metrics on {host}:{port} ({error.strerror or error}); choose another port"
            ) from error
        self.port: int = self._server.server_port

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(2.0)
