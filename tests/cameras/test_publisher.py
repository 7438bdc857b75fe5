"""The publisher: pace, headers, nothing lost when the bus fails, live cameras through the spool."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

import pytest
from media import film, jpeg
from test_sources import recording

from cameras.publisher import PublishError, PublishSettings, PublishSummary, publish
from cameras.sequence import ClockSequence, StoredSequence
from cameras.sources import SourceError, SourceMessage, open_sources
from cameras.spool import Spool, SpoolError
from plumbing.bus import BusError, Producer, Sent
from plumbing.clock import ManualClock
from plumbing.kafka_bus import KafkaBusConsumer, KafkaBusProducer, create_topics
from plumbing.memory_bus import MemoryBus
from plumbing.retry import Backoff
from schemas.codec import decode_frame_header
from schemas.frame import FrameHeader
from schemas.topics import FRAMES

FAST = PublishSettings(backoff=Backoff(first=0.001, most=0.01), stop_s=2.0, progress_s=0.0)


class ListSource:
    """A source that gives what it is told to; a live one then waits to be closed."""

    def __init__(
        self,
        camera_id: str,
        times: list[int],
        *,
        live: bool = False,
        error: str | Exception = "",
        first: int = 0,
        pause: float = 0.0,
    ) -> None:
        self.name = camera_id
        self.camera_id = camera_id
        self.live = live
        self.total = len(times)
        self.skipped: list[str] = []
        self.notes: list[str] = []
        self.closed = threading.Event()
        self._error = SourceError(error) if isinstance(error, str) and error else error
        self._pause = pause
        self._messages = [
            SourceMessage(jpeg(n), camera_id, first + n, time, "jpeg", 160, 96) for n, time in enumerate(times)
        ]

    def __iter__(self) -> Iterator[SourceMessage]:
        for message in self._messages:
            self.closed.wait(self._pause)
            yield message
        if isinstance(self._error, Exception):
            raise self._error
        if self.live:
            self.closed.wait(30)

    def close(self) -> None:
        self.closed.set()


class Moody:
    """A producer that fails as it is told: with the error, at once or later."""

    def __init__(
        self, inner: Producer, fail: "dict[int, str]", *, late: bool = True, size_limit: int = 1 << 30
    ) -> None:
        self._inner = inner
        self._fail = fail
        self._late = late
        self._limit = size_limit
        self.calls = 0

    def send(self, topic: str, value: bytes | None, **rest: object) -> "Future[Sent]":
        call = self.calls
        self.calls += 1
        text = self._fail.get(call, "") or ("too large" if len(value or b"") > self._limit else "")
        if not text:
            return self._inner.send(topic, value, **rest)  # type: ignore[arg-type]
        if not self._late:
            raise BusError(text)
        future: Future[Sent] = Future()
        future.set_exception(BusError(text))
        return future

    def flush(self, timeout: float | None = None) -> None: ...

    def close(self, timeout: float = 10.0) -> None: ...


@pytest.fixture
def bus() -> MemoryBus:
    found = MemoryBus()
    found.create_topics([FRAMES])
    return found


def on_bus(bus: MemoryBus) -> dict[str, list[int]]:
    """Camera to the numbers that arrived, in order."""
    found: dict[str, list[int]] = {}
    for record in bus.records(FRAMES.name):
        header = decode_frame_header(record.headers)
        assert record.key == header.camera_id.encode()
        assert sha256(record.value or b"").hexdigest() == header.sha256
        found.setdefault(header.camera_id, []).append(header.seq)
    return found


def test_every_frame_arrives_with_its_headers(bus: MemoryBus, tmp_path: Path) -> None:
    recording(tmp_path / "camera-01", 1_600_000_000_000)
    recording(tmp_path / "camera-02", 1_600_000_000_100)
    seen: list[PublishSummary] = []
    done = publish(open_sources(str(tmp_path)), bus.producer(), speed="max", on_progress=seen.append, settings=FAST)
    assert on_bus(bus) == {"camera-01": [40, 41, 42], "camera-02": [40, 41, 42]}
    first = decode_frame_header(bus.records(FRAMES.name)[0].headers)
    assert (first.lat, first.lon, first.heading, first.speed) == (1.5, 2.5, 90.0, 12.0)
    assert done.complete
    assert done.frames == 6
    assert done.errors == ()
    assert done.cameras["camera-02"].last_seq == 42
    assert done.bytes == sum(len(record.value or b"") for record in bus.records(FRAMES.name))
    assert seen
    assert seen[-1].frames <= 6


def test_real_time_keeps_the_cameras_pace_without_drift(bus: MemoryBus) -> None:
    clock = ManualClock()
    sources = [ListSource("a", [0, 200, 400]), ListSource("b", [100, 250, 1000])]
    sent: list[tuple[int, int]] = []
    start = clock.now_ms()

    class Noting(Moody):
        def send(self, topic: str, value: bytes | None, **rest: object) -> "Future[Sent]":
            header = decode_frame_header(rest["headers"])  # type: ignore[arg-type]
            sent.append((header.captured_at, clock.now_ms() - start))
            if header.captured_at == 200:
                clock.advance(0.3)  # late for what is next: catches up
            return super().send(topic, value, **rest)

    def wait(seconds: float) -> bool:
        clock.advance(seconds)
        return False

    done = publish(sources, Noting(bus.producer(), {}), clock=clock, wait=wait)
    assert [time for time, _ in sent] == [0, 100, 200, 250, 400, 1000]
    assert [moment for _, moment in sent] == [0, 100, 200, 500, 500, 1000]
    assert done.complete


def test_a_group_goes_when_its_last_picture_was_taken(bus: MemoryBus, tmp_path: Path) -> None:
    film(tmp_path / "a.mp4", 30, preset="veryfast", **{"x264-params": "keyint=10:min-keyint=10:scenecut=0:open-gop=0"})
    clock = ManualClock()
    moments: list[float] = []

    def wait(seconds: float) -> bool:
        clock.advance(seconds)
        return False

    class Noting(Moody):
        def send(self, topic: str, value: bytes | None, **rest: object) -> "Future[Sent]":
            moments.append(clock.monotonic())
            return super().send(topic, value, **rest)

    publish(open_sources(str(tmp_path / "a.mp4"), clock=clock), Noting(bus.producer(), {}), clock=clock, wait=wait)
    assert moments == pytest.approx([0.0, 1.0, 2.0], abs=0.01)


def test_stills_are_stamped_when_they_are_sent(bus: MemoryBus, tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.jpg").write_bytes(jpeg(number))
    clock = ManualClock()
    source = open_sources(str(tmp_path), clock=clock)
    publish(source, bus.producer(), clock=clock, wait=lambda seconds: bool(clock.advance(seconds)))
    times = [decode_frame_header(record.headers).captured_at for record in bus.records(FRAMES.name)]
    assert [time - times[0] for time in times] == [0, 200, 400]
    publish(open_sources(str(tmp_path), clock=clock), bus.producer(), speed="max", clock=clock)
    times = [decode_frame_header(record.headers).captured_at for record in bus.records(FRAMES.name)][3:]
    assert [time - clock.now_ms() for time in times] == [0, 1, 2], "at full speed: now, and rising"


@pytest.mark.parametrize("late", [True, False])
def test_what_the_bus_gives_back_is_sent_again(bus: MemoryBus, late: bool) -> None:
    producer = Moody(bus.producer(), {0: "not now", 3: "not now", 4: "not now"}, late=late)
    done = publish([ListSource("a", list(range(10)))], producer, speed="max", settings=FAST)
    assert sorted(on_bus(bus)["a"]) == list(range(10))
    assert done.complete
    assert producer.calls == 13


def test_a_message_the_bus_never_takes_does_not_stop_its_neighbours(bus: MemoryBus, tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / f"{number}.jpg").write_bytes(jpeg(number, (160, 96) if number != 2 else (640, 480)))
    producer = Moody(bus.producer(), {}, size_limit=len(jpeg(2, (640, 480))) - 1)
    done = publish(open_sources(str(tmp_path)), producer, speed="max", settings=FAST)
    assert done.frames == 4
    assert done.cameras["cam-01"].errors == 1
    assert "not sent: too large" in done.errors[0]


def test_a_dead_bus_is_one_line(bus: MemoryBus) -> None:
    clock = ManualClock()
    producer = Moody(bus.producer(), dict.fromkeys(range(2, 1000), "Kafka at here:1 did not take it"))
    with pytest.raises(PublishError, match="publishing stopped: Kafka at here:1 did not take it; nothing") as error:
        publish(
            [ListSource("a", [0] * 10)],
            producer,
            speed="max",
            clock=clock,
            settings=FAST,
            wait=lambda seconds: bool(clock.advance(1)),
        )
    assert "2 pictures were before" in str(error.value)
    assert "\n" not in str(error.value)


def test_an_unreachable_broker_is_one_line(free_port) -> None:
    address = f"127.0.0.1:{free_port()}"
    source = ListSource("a", [0])
    with pytest.raises(PublishError, match=address) as error:
        publish([source], lambda: KafkaBusProducer(address, "test"), speed="max")
    assert "\n" not in str(error.value)
    assert source.closed.is_set()
    with pytest.raises(PublishError, match="no source was given"):
        publish([], lambda: KafkaBusProducer(address, "test"))


def test_a_broken_source_ends_alone(bus: MemoryBus) -> None:
    done = publish(
        [ListSource("a", [0, 1], error="a.mp4: reading stopped"), ListSource("b", [0, 1, 2])],
        bus.producer(),
        speed="max",
    )
    assert on_bus(bus) == {"a": [0, 1], "b": [0, 1, 2]}
    assert done.errors == ("a.mp4: reading stopped",)
    assert done.cameras["a"].errors == 1
    assert done.cameras["b"].errors == 0


def test_stop_ends_a_drive_early(bus: MemoryBus) -> None:
    stop = threading.Event()
    source = ListSource("a", [0, 3_600_000])
    bus.hold_acknowledgements()
    threading.Timer(0.1, stop.set).start()
    done = publish([source], bus.producer(), stop=stop, settings=PublishSettings(stop_s=0.2))
    assert not done.complete
    assert source.closed.is_set()
    assert done.errors == ("stopped with 1 messages not acknowledged",)


def wait_for(condition, timeout: float = 20.0) -> None:
    from time import monotonic

    tick, end = threading.Event(), monotonic() + timeout
    while not condition():
        assert monotonic() < end, "the condition did not come"
        tick.wait(0.01)


def live(
    sources: list[ListSource], producer: object, spool: Spool, until, settings: PublishSettings = FAST
) -> PublishSummary:
    """Publish until `until` holds, then stop."""
    stop = threading.Event()
    found: list[PublishSummary] = []
    thread = threading.Thread(
        target=lambda: found.append(publish(sources, producer, stop=stop, spool=spool, settings=settings))  # type: ignore[arg-type]
    )
    thread.start()
    try:
        wait_for(until)
    finally:
        stop.set()
        thread.join(20)
    assert not thread.is_alive()
    return found[0]


def test_live_cameras_go_through_the_spool(bus: MemoryBus, tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    sources = [ListSource("a", list(range(20)), live=True), ListSource("b", list(range(30)), live=True)]
    done = live(sources, bus.producer(), spool, lambda: len(bus.records(FRAMES.name)) == 50)
    assert on_bus(bus) == {"a": list(range(20)), "b": list(range(30))}
    assert done.complete
    assert done.spooled == 0
    assert done.frames == 50


def test_live_frames_wait_for_the_network(bus: MemoryBus, tmp_path: Path) -> None:
    """No broker at the start, then one that refuses for a while, then a restart: nothing is lost, order holds."""
    tries: list[int] = []

    def no_broker() -> Producer:
        tries.append(1)
        raise BusError("no broker")

    spool = Spool(tmp_path)
    done = live([ListSource("a", list(range(10)), live=True)], no_broker, spool, lambda: spool.pending == 10 and tries)
    assert done.spooled == 10
    assert not done.complete
    spool.close()

    spool = Spool(tmp_path)
    moody = Moody(bus.producer(), {3: "not now", 4: "not now", 12: "not now"})
    done = live(
        [ListSource("a", list(range(5)), live=True, first=10)],
        moody,
        spool,
        lambda: spool.pending == 0 and moody.calls > 14,
    )
    seqs = on_bus(bus)["a"]
    assert list(dict.fromkeys(seqs)) == sorted(set(seqs)) or sorted(set(seqs)) == list(range(15))
    assert set(seqs) == set(range(15))
    assert done.complete


def test_a_poisoned_frame_does_not_hold_up_the_spool(bus: MemoryBus, tmp_path: Path) -> None:
    source = ListSource("a", list(range(6)), live=True)
    big = SourceMessage(jpeg(0, (640, 480)), "a", 6, 6, "jpeg", 640, 480)
    source._messages.insert(2, big)
    spool = Spool(tmp_path)
    moody = Moody(bus.producer(), {}, size_limit=len(big.value) - 1)
    done = live([source], moody, spool, lambda: spool.pending == 0 and moody.calls)
    assert set(on_bus(bus)["a"]) == set(range(6))
    assert done.errors == ("a seq 6: not sent: too large",)


@pytest.mark.parametrize("is_live", [False, True])
def test_after_a_refusal_a_new_producer_sends_on(bus: MemoryBus, tmp_path: Path, is_live: bool) -> None:
    """As a Kafka producer does, this one refuses everything once it was refused one message."""
    refusals = iter(["TopicAuthorizationFailed"] * 3)
    bus.refusal = lambda value: next(refusals, "")
    made: list[Producer] = []

    def connect() -> Producer:
        made.append(bus.producer())
        return made[-1]

    source = ListSource("a", list(range(20)), live=is_live)
    if is_live:
        done = live([source], connect, Spool(tmp_path), lambda: len(bus.records(FRAMES.name)) >= 20)
    else:
        done = publish([source], connect, speed="max", settings=FAST)
    assert set(on_bus(bus)["a"]) == set(range(20))
    assert done.complete
    assert done.errors == ()
    assert len(made) > 1
    for producer in made:
        with pytest.raises(BusError, match="closed"):
            producer.send(FRAMES.name, b"x")


@pytest.mark.parametrize("is_live", [False, True])
def test_a_message_refused_for_ever_costs_none_of_its_neighbours(bus: MemoryBus, tmp_path: Path, is_live: bool) -> None:
    poison = jpeg(7)
    bus.refusal = lambda value: "InvalidRecord" if value == poison else ""
    source = ListSource("a", list(range(20)), live=is_live)
    others = {n for n in range(20) if jpeg(n) != poison}
    if is_live:
        spool = Spool(tmp_path)
        done = live([source], bus.producer, spool, lambda: spool.pending == 0 and bus.records(FRAMES.name))
    else:
        done = publish([source], bus.producer, speed="max", settings=FAST)
    assert set(on_bus(bus)["a"]) == others
    assert len(done.errors) == 20 - len(others)
    assert all("not sent" in line and "InvalidRecord" in line for line in done.errors)


def test_a_live_source_that_ends_is_told(bus: MemoryBus, tmp_path: Path) -> None:
    done = publish(
        [ListSource("a", [0, 1], live=True, error="/dev/video0: unplugged")],
        bus.producer(),
        spool=Spool(tmp_path),
        settings=FAST,
    )
    assert done.errors == ("/dev/video0: unplugged",)
    assert done.frames == 2
    with pytest.raises(PublishError, match="needs a spool"):
        publish([ListSource("a", [0], live=True)], bus.producer())


def test_a_disk_error_does_not_silence_a_live_camera(
    bus: MemoryBus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cameras.uplink._SAVE_S", 0.0)
    spool = Spool(tmp_path)
    (tmp_path / "acked.json.new").mkdir()  # as good as a full disk
    source = ListSource("a", list(range(40)), live=True, pause=0.01)

    def mended() -> bool:
        if len(bus.records(FRAMES.name)) >= 20 and (tmp_path / "acked.json.new").is_dir():
            (tmp_path / "acked.json.new").rmdir()
        return len(bus.records(FRAMES.name)) == 40 and (tmp_path / "acked.json").exists()

    done = live([source], bus.producer(), spool, mended)
    assert on_bus(bus) == {"a": list(range(40))}
    assert done.complete


def test_errors_of_a_spool_that_stays_broken_do_not_fill_the_memory(
    bus: MemoryBus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(header: FrameHeader, value: bytes) -> None:
        raise SpoolError(f"{header.seq}: a frame cannot be kept")

    spool = Spool(tmp_path)
    monkeypatch.setattr(spool, "append", full)
    source = ListSource("a", list(range(300)), live=True, error="unplugged")
    done = publish([source], bus.producer(), spool=spool, settings=FAST)
    assert done.cameras["a"].errors == 301
    assert len(done.errors) == 100
    assert done.errors[-2:] == ("299: a frame cannot be kept", "unplugged")


def test_an_unexpected_error_of_a_live_source_is_told(bus: MemoryBus, tmp_path: Path) -> None:
    source = ListSource("a", [0, 1], live=True, error=ValueError("odd\nthings"))
    done = publish([source], bus.producer(), spool=Spool(tmp_path), settings=FAST)
    assert done.errors == ("a: reading stopped: ValueError: odd things",)
    assert done.cameras["a"].errors == 1
    assert done.frames == 2


def test_an_unexpected_error_of_the_sender_ends_the_live_run(bus: MemoryBus, tmp_path: Path) -> None:
    class Broken(Moody):
        def send(self, topic: str, value: bytes | None, **rest: object) -> "Future[Sent]":
            raise RuntimeError("no threads left")

    source = ListSource("a", [0, 1], live=True)
    done = publish([source], Broken(bus.producer(), {}), spool=Spool(tmp_path), settings=FAST)
    assert done.errors == ("sending stopped: RuntimeError: no threads left; frames wait in the spool",)
    assert source.closed.is_set()
    assert done.spooled == 2
    assert not done.complete


def test_files_and_live_cameras_together(bus: MemoryBus, tmp_path: Path) -> None:
    sources = [ListSource("a", [0, 1, 2]), ListSource("b", [0, 1], live=True)]
    done = live(sources, bus.producer(), Spool(tmp_path), lambda: len(bus.records(FRAMES.name)) == 5)
    assert on_bus(bus) == {"a": [0, 1, 2], "b": [0, 1]}
    assert done.complete


def test_a_restart_keeps_numbers_rising(bus: MemoryBus, tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number in range(3):
        (pictures / f"{number}.jpg").write_bytes(jpeg(number))
    for _ in range(2):
        numbers = StoredSequence(tmp_path / "sequence.json")
        publish(open_sources(str(pictures), sequence=numbers), bus.producer(), speed="max")
        numbers.close()
    assert on_bus(bus)["cam-01"] == [0, 1, 2, 3, 4, 5]
    clock = ManualClock()
    for _ in range(2):
        publish(open_sources(str(pictures), sequence=ClockSequence(clock)), bus.producer(), speed="max")
        clock.advance(0.001)
    assert on_bus(bus)["cam-01"] == sorted(set(on_bus(bus)["cam-01"]))
    assert len(on_bus(bus)["cam-01"]) == 12


def test_on_real_kafka(kafka: str, tmp_path: Path) -> None:
    import msgspec

    topic = msgspec.structs.replace(FRAMES, name=f"frames-{uuid4().hex[:8]}", partitions=2)
    create_topics(kafka, [topic])
    recording(tmp_path / "drive" / "camera-01", 1_600_000_000_000, frames=20)
    (tmp_path / "films").mkdir()
    film(tmp_path / "films" / "a.mp4", 25, preset="veryfast", **{"x264-params": "keyint=10:min-keyint=10:open-gop=0"})
    sources = [*open_sources(str(tmp_path / "drive")), *open_sources(str(tmp_path / "films"))]
    sent = {message.seq: message.value for message in open_sources(str(tmp_path / "drive"))[0]}
    producer = KafkaBusProducer(kafka, "camera-test")
    try:
        done = publish(sources, producer, speed="max", settings=PublishSettings(topic=topic.name))
    finally:
        producer.close()
    assert done.complete
    assert done.frames == 45
    assert done.cameras["cam-01"].messages == 3

    consumer = KafkaBusConsumer(kafka, f"g-{topic.name}", "camera-test")
    consumer.subscribe([topic.name])
    records = []
    wait_for(lambda: records.extend(consumer.poll(1.0)) or len(records) >= 23)
    consumer.close()
    headers = [(decode_frame_header(record.headers), record) for record in records]
    assert all(sha256(record.value or b"").hexdigest() == header.sha256 for header, record in headers)
    drive = [(header, record) for header, record in headers if header.camera_id == "camera-01"]
    assert [header.seq for header, _ in drive] == list(range(40, 60)), "in order within the camera's partition"
    assert all(record.value == sent[header.seq] for header, record in drive)
    assert len({record.partition for _, record in drive}) == 1
    assert sum(header.frames for header, _ in headers if header.camera_id == "cam-01") == 25
