"""The state that a process holds, on top of its tables: cameras (CameraBook) and plates (PlateBook).

In: records of the input topic, one batch after the other. Out: messages that must be acknowledged, then writes for
the tables. Nothing here knows Faust; a table is any mapping of bytes. After `take` of a whole batch, send what it gave,
then write what `writes` gives, then acknowledge the batch; if any of this fails, call `forget` and take it again.
"""

import itertools
import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from plumbing.bus import Record
from plumbing.clock import Clock, from_ms
from schemas.codec import SchemaError, decode_json, decode_reads, encode_json, encode_reads
from schemas.read import CloseTracks, ReadsMessage
from schemas.sighting import Sighting
from store.collector import collector_waiting
from streams import vehicle as vehicles
from streams.dead import DeadLetters, Outgoing
from streams.hotlist import Hotlist
from streams.settings import StreamSettings
from streams.track import (
    CameraState,
    CameraTracks,
    decode_state,
    encode_crops,
    encode_state,
    new_state,
    track_uids,
)
from streams.tracker import camera_message, has_open, step

log = logging.getLogger(__name__)

Table = Mapping[bytes, bytes]
_CAMERA_EVERY_S = 1.0
_CLOSE_AGAIN_S = 10.0
_FORGET_AT_ONCE = 200


class Write(NamedTuple):
    """One key of a table to set, or with None to delete, in a partition of its changelog."""

    table: str
    partition: int
    key: bytes
    value: bytes | None


class Owned(NamedTuple):
    """The partitions of the input topic whose keys are this process's to write."""

    epoch: int
    """Changes whenever ownership may have changed."""
    partitions: frozenset[int]


class _Camera:
    """A camera in memory, as it was last read from or written to the table (`raw`) and since."""

    __slots__ = ("changed", "raw", "state")

    def __init__(self, state: CameraState, raw: bytes | None) -> None:
        self.state = state
        self.raw = raw
        self.changed = False


def _place(state: CameraTracks | vehicles.Vehicle, partition: int) -> None:
    """Note the partition of a key. In another one (the topic was given more) offsets begin anew."""
    if state.partition != partition:
        state.partition, state.offset = partition, -1


def crop_key(camera: bytes, uid: str) -> bytes:
    """Key of a track's crops in the table of crops."""
    return camera + b"\x00" + uid.encode()


class CameraBook:
    """Applies fleet.reads to the cameras' states."""

    def __init__(self, settings: StreamSettings, tracks: Table, crops: Table, clock: Clock) -> None:
        self._settings = settings
        self._tracks = tracks
        self._crops = crops
        self._clock = clock
        self._dead = DeadLetters("tracker", settings.topics.dead, clock, settings.dead_per_minute)
        self._cameras: dict[bytes, _Camera] = {}
        self._heard: dict[bytes, float] = {}
        """Key -> monotonic time of its last frame, longest silent first."""
        self._epoch: int | None = None
        self._told: dict[bytes, float] = {}
        self._asked: dict[bytes, tuple[int, float]] = {}

    def take(self, batch: Iterable[Record]) -> list[Outgoing]:
        """Apply a batch. Every record changes the state, makes a dead letter, or both say nothing of it.

        Raises:
            TooManyDeadLetters: nothing of the batch may be acknowledged.
        """
        with collector_waiting():
            return self._take(batch)

    def _take(self, batch: Iterable[Record]) -> list[Outgoing]:
        out: list[Outgoing] = []
        now = self._clock.monotonic()
        by_key: dict[bytes | None, list[Record]] = {}
        for record in batch:
            by_key.setdefault(record.key, []).append(record)
        # one camera after the other: its state is at hand, and is looked up once
        for key, records in by_key.items():
            self._take_camera(key or b"", records, now, out)
        return out

    def _take_camera(self, key: bytes, records: Iterable[Record], now: float, out: list[Outgoing]) -> None:
        """Apply the records of one key in order, then tell how the camera is."""
        topic, limits = self._settings.topics.sightings, self._settings.tracker
        now_ms = self._clock.now_ms()
        camera = message = None
        spoke = False
        applied: list[Record] = []
        for record in records:
            try:
                message = self._decode(record)
            except SchemaError as error:
                out.append(self._dead.letter(record, "bad_value", str(error)))
                continue
            spoke = spoke or not isinstance(message, CloseTracks)
            camera = camera or self._load(key)
            _place(camera.state.hot, record.partition)
            try:
                camera.state, told = step(camera.state, message, record.offset, now_ms, limits)
            except Exception as error:
                log.exception("tracker: cannot apply %s-%d at %d", record.topic, record.partition, record.offset)
                camera = self._again(key, applied)
                out.append(self._dead.letter(record, "internal_error", f"{type(error).__name__}: {error}"))
                continue
            camera.changed = True
            applied.append(record)
            for sighting in told:
                out.append(Outgoing(topic, sighting.plate.encode(), encode_json(sighting)))
        if spoke:
            self._hear(key, now)
        if message is None:
            return
        if isinstance(message, CloseTracks):
            self._told.pop(key, None)
            out.append(self._camera(key, "silent"))
        elif now - self._told.get(key, -_CAMERA_EVERY_S) >= _CAMERA_EVERY_S:
            self._told[key] = now
            out.append(self._camera(key, "live"))

    def _hear(self, key: bytes, now: float) -> None:
        self._heard.pop(key, None)
        self._heard[key] = now

    @staticmethod
    def _decode(record: Record) -> ReadsMessage:
        message = decode_reads(record.value or b"")
        if record.key != message.camera_id.encode():
            raise SchemaError("bad_value", f"key {record.key!r:.80} is not camera {message.camera_id[:80]!r}")
        return message

    def _again(self, key: bytes, applied: Iterable[Record]) -> _Camera:
        """Rebuild a camera that a fault left half changed: from the table, then this batch's earlier records."""
        del self._cameras[key]
        camera = self._load(key)
        for record in applied:
            _place(camera.state.hot, record.partition)
            camera.state, _ = step(camera.state, self._decode(record), record.offset, 0, self._settings.tracker)
            camera.changed = True
        return camera

    def _load(self, key: bytes) -> _Camera:
        camera = self._cameras.get(key)
        raw = self._tracks.get(key)
        # a table that says something else has been recovered from another process's work
        if camera is not None and (camera.changed or camera.raw == raw):
            return camera
        if raw is None:
            state = new_state(key.decode())
        else:
            crops = {uid: self._crops.get(crop_key(key, uid)) for uid in track_uids(raw)}
            state = decode_state(raw, {uid: value for uid, value in crops.items() if value is not None})
        camera = self._cameras[key] = _Camera(state, raw)
        return camera

    def _camera(self, key: bytes, status: str) -> Outgoing:
        message = camera_message(self._cameras[key].state, status, from_ms(self._clock.now_ms()))
        return Outgoing(self._settings.topics.cameras, key, encode_json(message))

    def writes(self, owned: Owned) -> Iterator[Write]:
        """What the tables must hold now, crops before the tracks that own them. To be called once per batch."""
        self._count_in(owned)
        for key, camera in self._cameras.items():
            if not camera.changed:
                continue
            state = camera.state
            for uid in state.dirty:
                crops = state.crops.get(uid)
                name = crop_key(key, uid)
                if crops:
                    yield Write("crops", state.hot.partition, name, encode_crops(crops))
                elif name in self._crops:
                    yield Write("crops", state.hot.partition, name, None)
            state.dirty.clear()
            camera.raw = encode_state(state)
            camera.changed = False
            yield Write("tracks", state.hot.partition, key, camera.raw)
        yield from self._old(owned)

    def _count_in(self, owned: Owned) -> None:
        """After a rebalance: forget what is remembered of cameras that went with their partition."""
        if owned.epoch == self._epoch:
            return
        self._epoch = owned.epoch
        here = self._tracks.keys() | {key for key, camera in self._cameras.items() if camera.changed}
        remembered: tuple[dict[bytes, Any], ...] = (self._cameras, self._heard, self._told, self._asked)
        for one in remembered:
            for key in one.keys() - here:
                del one[key]

    def _old(self, owned: Owned) -> Iterator[Write]:
        """Cameras that have been silent for long, longest first, a few at a time: nothing of them stays in a table."""
        now = self._clock.monotonic()
        for key in list(itertools.islice(self._heard, _FORGET_AT_ONCE)):
            if now - self._heard[key] < self._settings.camera_keep_s:
                return
            if key not in self._tracks:
                del self._heard[key]
                continue
            camera = self._load(key)
            partition = camera.state.hot.partition
            if partition not in owned.partitions or has_open(camera.state):
                # another process's to forget, or not closed yet: looked at again when it would be old had it spoken now
                self._hear(key, now)
                continue
            for name in (crop_key(key, track.uid) for track in camera.state.hot.tracks):
                if name in self._crops:
                    yield Write("crops", partition, name, None)
            yield Write("tracks", partition, key, None)
            for one in (self._cameras, self._heard, self._told, self._asked):
                one.pop(key, None)

    def forget(self) -> None:
        """Drop what is not in the tables: the batch will be taken again."""
        self._cameras.clear()

    def silent(self, owned: Owned) -> list[Outgoing]:
        """Commands that close the open sightings of cameras that fell silent, each to its camera's partition.

        Args:
            owned: what has been recovered, too.
        """
        self._count_in(owned)
        now = self._clock.monotonic()
        out = []
        for key in list(self._tracks):
            # a camera that was recovered, and not heard of since, gets the whole silence from now on
            if now - self._heard.setdefault(key, now) < self._settings.silence_s:
                continue
            camera = self._load(key)
            if camera.state.hot.partition in owned.partitions:
                out += self._close(key, camera, now)
        return out

    def _close(self, key: bytes, camera: _Camera, now: float) -> list[Outgoing]:
        out = []
        seq = camera.state.hot.seqs[-1][1] if camera.state.hot.seqs else 0
        asked, at = self._asked.get(key, (-1, 0.0))
        if has_open(camera.state) and (asked != seq or now - at >= _CLOSE_AGAIN_S):
            self._asked[key] = (seq, now)
            command = CloseTracks(camera_id=key.decode(), seq=seq, sent_at=self._clock.now_ms())
            out.append(
                Outgoing(self._settings.topics.reads, key, encode_reads(command), partition=camera.state.hot.partition)
            )
        if self._told.get(key) is not None:
            # once: `live` follows when it speaks again
            del self._told[key]
            out.append(self._camera(key, "silent"))
        return out


class PlateBook:
    """Applies fleet.sightings to the plates' states and raises alerts."""

    def __init__(self, settings: StreamSettings, plates: Table, hotlist: Hotlist, clock: Clock) -> None:
        self._settings = settings
        self._plates = plates
        self._hotlist = hotlist
        self._clock = clock
        self._dead = DeadLetters("vehicles", settings.topics.dead, clock, settings.dead_per_minute)
        self._changed: dict[bytes, vehicles.Vehicle] = {}
        self._ages: dict[bytes, int] = {}
        """Key -> wall clock of its last change, oldest first."""
        self._epoch: int | None = None

    def take(self, batch: Iterable[Record]) -> list[Outgoing]:
        """Apply a batch; as `CameraBook.take`."""
        with collector_waiting():
            return self._take(batch)

    def _take(self, batch: Iterable[Record]) -> list[Outgoing]:
        out: list[Outgoing] = []
        for record in batch:
            try:
                sighting = decode_json(record.value or b"", Sighting)
                if record.key != sighting.plate.encode():
                    raise SchemaError("bad_value", f"key {record.key!r:.80} is not plate {sighting.plate[:80]!r}")
            except SchemaError as error:
                out.append(self._dead.letter(record, "bad_value", str(error)))
                continue
            out += self._apply(record, sighting)
        return out

    def _apply(self, record: Record, sighting: Sighting) -> list[Outgoing]:
        key = record.key or b""
        known = self._changed.get(key)
        if known is None:
            raw = self._plates.get(key)
            known = vehicles.decode_vehicle(raw) if raw is not None else vehicles.Vehicle(plate=sighting.plate)
        before = vehicles.encode_vehicle(known)
        _place(known, record.partition)
        threshold = self._settings.match.candidate_threshold
        try:
            self._changed[key], alerts = vehicles.apply(
                known, sighting, record.offset, self._hotlist, self._clock.now_ms(), threshold
            )
        except Exception as error:
            log.exception("vehicles: cannot apply %s-%d at %d", record.topic, record.partition, record.offset)
            self._changed[key] = vehicles.decode_vehicle(before)
            return [self._dead.letter(record, "internal_error", f"{type(error).__name__}: {error}")]
        return [Outgoing(self._settings.topics.alerts, key, encode_json(alert)) for alert in alerts]

    def writes(self, owned: Owned) -> Iterator[Write]:
        """What the table must hold now. To be called once per batch."""
        if owned.epoch != self._epoch:
            self._epoch = owned.epoch
            self._count_in()
        for key, state in self._changed.items():
            self._ages.pop(key, None)
            self._ages[key] = state.applied_ms
            yield Write("plates", state.partition, key, vehicles.encode_vehicle(state))
        self._changed.clear()
        yield from self._old(owned)

    def _count_in(self) -> None:
        """Let the ages be those of the table's plates: some were recovered, others went with their partition."""
        ages = {key: age for key, age in self._ages.items() if key in self._plates}
        # the age of a plate that was recovered begins anew
        self._ages = ages | dict.fromkeys(self._plates.keys() - ages.keys(), self._clock.now_ms())

    def _old(self, owned: Owned) -> Iterator[Write]:
        """Plates that were not seen for long, oldest first, a few at a time."""
        now_ms = self._clock.now_ms()
        horizon = now_ms - self._settings.vehicle_keep_s * 1000
        for key in list(itertools.islice(self._ages, _FORGET_AT_ONCE)):
            full = len(self._ages) > self._settings.vehicle_max
            if self._ages[key] >= horizon and not full:
                return
            del self._ages[key]
            raw = self._plates.get(key)
            if raw is None:
                continue
            vehicle = vehicles.decode_vehicle(raw)
            if vehicle.partition not in owned.partitions:
                # what another process remembers is not ours to forget
                continue
            if not full and vehicles.is_cooling(vehicle, self._hotlist, now_ms):
                # looked at again when it would be old had it been seen now
                self._ages[key] = now_ms
            else:
                yield Write("plates", vehicle.partition, key, None)

    def forget(self) -> None:
        """Drop what is not in the table: the batch will be taken again."""
        self._changed.clear()
