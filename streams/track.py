"""State of one camera: tracks, what is known of the camera, the last applied offset; bytes <-> state.

The state is two parts, because a table writes whole values: the part that changes with every frame (small), and
per track the crops of its best reads (large, change seldom).
"""

import math
from collections.abc import Mapping
from typing import Any

import msgspec

from schemas.read import FrameReads
from streams.looks import Look, look_of, worse, worth_of
from streams.text import distance

TENTATIVE, OPEN, CLOSED = 0, 1, 2
_OBSERVATIONS = 12
_TEXTS = 48
_CROPS = 3
_SEQ_RANGES = 512
_TRAIL = 60
_LOG_STEP = math.log(1.25)
"""A look must be a quarter better to take the place of another as evidence: crops are not written for nothing."""
BALLOTS = 12
"""Best looks of a track that vote."""
_CLOSED_BALLOTS = 2
MAX_CROP_BYTES = 200_000


class Seen(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Where the plate was in one frame: centre, width and height in pixels."""

    t: int
    seq: int
    x: float
    y: float
    w: float
    h: float
    said: bool = True
    """Whether a text was read there."""


class Track(msgspec.Struct, array_like=True, eq=False, gc=False):
    """One vehicle in one pass, from the first read on, sighting or not yet. Equal to itself alone."""

    uid: str
    """`seq.rank` of the read that began it: the key of its crops. Never changes."""
    first: tuple[int, int, int]
    """(t, seq, rank) of the earliest read with a text."""
    first_t: int
    last_t: int
    last_seq: int
    phase: int = TENTATIVE
    sighting_id: str = ""
    opened_t: int = 0
    revision: int = 0
    told_plate: str = ""
    told_confidence: float = 0.0
    told_direction: str = "unknown"
    told_t: int = 0
    told_quality: float = 0.0
    told_frames: int = 0
    former: list[str] = []
    frames: int = 0
    """Frames in which a text was read."""
    touched: int = 0
    """Frame count of the camera when a read was last added."""
    still: bool = False
    lead: str = ""
    """The text with most weight so far: what further reads are compared with."""
    lead_confidence: float = 0.0
    seen: list[Seen] = []
    texts: dict[str, tuple[int, int]] = {}
    """Text -> (reads, summed weight)."""
    looks: list[Look] = []
    """The best, best first."""
    best: dict[str, tuple[int, int]] = {}
    """Text -> (quality step, seq) of its best look: these have their crops kept."""
    trail: dict[int, tuple[int, float, float]] = {}
    """Second -> (t, lat, lon), the earliest read of each."""
    place: tuple[float, float] | None = None
    """Of the camera at the last read in time."""
    early: tuple[int, float] = (0, 0.0)
    """(t, height) at the earliest look; `late` at the latest."""
    late: tuple[int, float] = (0, 0.0)
    beside: str = ""
    """The uid of a track that was expected just where this one began, and was not read in that frame."""
    turns: int = 0
    """How often this one was read just there again after that track had been, never both in one frame."""


class CameraTracks(msgspec.Struct, array_like=True, gc=False):
    """All that the tracker knows of one camera, without crops."""

    camera_id: str
    partition: int = -1
    """The camera's partition of fleet.reads."""
    offset: int = -1
    """Last applied offset there."""
    clock: int = 0
    """Event time reached, epoch milliseconds."""
    tracks: list[Track] = []
    seqs: list[tuple[int, int]] = []
    """Numbers of the frames applied, as ranges, rising."""
    frames: int = 0
    reads: int = 0
    missing_before: int = 0
    """Numbers that were missing when their ranges were forgotten."""
    skew_ms: float = 0.0
    bad_clock_ms: int | None = None
    """Offset by which a camera clock beyond all bounds is corrected."""
    luma: float = 0.0
    last_t: int = 0
    lat: float | None = None
    lon: float | None = None
    heading: float | None = None
    speed: float | None = None
    width: int = 0
    height: int = 0
    model_version: str = ""


class CameraState:
    """CameraTracks with the crops of its tracks, which of these changed since they were last written, and what time
    can still change."""

    __slots__ = ("_recent", "_recent_from", "crops", "dirty", "encoded", "hot", "settled_until")

    def __init__(self, hot: CameraTracks, crops: dict[str, dict[int, bytes]] | None = None) -> None:
        self.hot = hot
        self.crops = crops if crops is not None else {}
        """uid -> seq -> JPEG."""
        self.dirty: set[str] = set()
        self.encoded: dict[str, msgspec.Raw] = {}
        """uid -> a closed track as it was last encoded. Who changes a closed track takes it out."""
        self.unsettle()

    def unsettle(self) -> None:
        """To be called when tracks come, go or change their phase: all of them must be looked at again."""
        self.settled_until = -math.inf
        """Event time up to which no track ends, is made slim or is forgotten by its passing alone."""
        self._recent: list[Track] = []
        self._recent_from = math.inf

    def settle(self, until: float, recent_from: float) -> None:
        """Remember that nothing is due before `until`, and which tracks were read at `recent_from` or later."""
        self.settled_until = until
        self._recent = [track for track in self.hot.tracks if track.last_t >= recent_from]
        self._recent_from = recent_from

    def read_since(self, t: float) -> list[Track]:
        """The tracks that were last read at `t` or later, in order, and perhaps others."""
        if t >= self._recent_from:
            return self._recent
        # an older track may become a recent one now
        self.unsettle()
        return self.hot.tracks


_encoder = msgspec.msgpack.Encoder()
_tracks = msgspec.msgpack.Decoder(CameraTracks)
_crops = msgspec.msgpack.Decoder(dict[int, bytes])


def new_state(camera_id: str) -> CameraState:
    """A camera of which nothing is known."""
    return CameraState(CameraTracks(camera_id=camera_id))


def encode_state(state: CameraState) -> bytes:
    """The part without crops. Closed tracks, most of it, are encoded again only when they have changed."""
    before, state.encoded = state.encoded, {}
    tracks: list[Any] = []
    for track in state.hot.tracks:
        if track.phase != CLOSED:
            tracks.append(track)
            continue
        uid = track.uid
        raw = before.get(uid)
        if raw is None:
            raw = msgspec.Raw(_encoder.encode(track))
        state.encoded[uid] = raw
        tracks.append(raw)
    return _encoder.encode(msgspec.structs.replace(state.hot, tracks=tracks))


def decode_state(data: bytes, crops: Mapping[str, bytes]) -> CameraState:
    """The inverse; `crops` maps the uid of a track to what `encode_crops` gave."""
    return CameraState(_tracks.decode(data), {uid: _crops.decode(raw) for uid, raw in crops.items()})


def track_uids(data: bytes) -> list[str]:
    """The uids of the tracks in an encoded state."""
    return [track.uid for track in _tracks.decode(data).tracks]


def encode_crops(crops: Mapping[int, bytes]) -> bytes:
    """The crops of one track."""
    return _encoder.encode(crops)


def add_seq(hot: CameraTracks, seq: int) -> bool:
    """Note that frame `seq` was applied; False when it had been before."""
    ranges = hot.seqs
    if ranges and seq == ranges[-1][1] + 1:
        ranges[-1] = (ranges[-1][0], seq)
        return True
    at = len(ranges)
    while at and ranges[at - 1][0] > seq:
        at -= 1
    # now ranges[at - 1] is the last range that begins at or before seq
    if at and seq <= ranges[at - 1][1]:
        return False
    low = high = seq
    if at < len(ranges) and ranges[at][0] == seq + 1:
        high = ranges.pop(at)[1]
    if at and ranges[at - 1][1] == seq - 1:
        at -= 1
        low = ranges.pop(at)[0]
    ranges.insert(at, (low, high))
    if len(ranges) > _SEQ_RANGES:
        hot.missing_before += ranges[1][0] - ranges[0][1] - 1
        ranges[:2] = [(ranges[0][0], ranges[1][1])]
    return True


def missing(hot: CameraTracks) -> int:
    """Numbers between the first and the last frame that never came."""
    return hot.missing_before + sum(b[0] - a[1] - 1 for a, b in zip(hot.seqs, hot.seqs[1:], strict=False))


def begin(state: CameraState, frame: FrameReads, rank: int, t: int) -> Track:
    """A new, empty track that read `rank` of `frame` begins."""
    track = Track(
        uid=f"{frame.seq}.{rank}",
        first=(t, frame.seq, rank),
        first_t=t,
        last_t=t,
        last_seq=frame.seq,
        still=frame.still,
    )
    state.unsettle()
    state.hot.tracks.append(track)
    return track


def add_read(state: CameraState, track: Track, frame: FrameReads, rank: int, text: str, t: int) -> None:
    """Let the track have one read; `text` is the plate or empty when it says nothing."""
    if track.phase == CLOSED:
        state.encoded.pop(track.uid, None)
    read = frame.reads[rank]
    seq, lat, lon = frame.seq, frame.lat, frame.lon
    x, y, w, h = read.box
    _see(track, Seen(t, seq, x + w / 2, y + h / 2, w, h, bool(text)))
    if t >= track.last_t:
        track.last_t = t
        if lat is not None and lon is not None:
            track.place = (lat, lon)
    if t < track.first_t:
        track.first_t = t
    if seq > track.last_seq:
        track.last_seq = seq
    track.touched = state.hot.frames
    if not text:
        return
    if not track.frames or (t, seq, rank) < track.first:
        track.first = (t, seq, rank)
    track.frames += 1
    if lat is not None and lon is not None:
        known = track.trail.get(t // 1000)
        if known is None or t < known[0]:
            _follow(track, t, lat, lon)
    worth = worth_of(read)
    _count(track, text, read.confidence, worth)
    _retain(state, track, frame, rank, text, t, worth)


def _see(track: Track, seen: Seen) -> None:
    places = track.seen
    t = seen.t
    if places and (t < places[-1].t or (t == places[-1].t and seen.seq <= places[-1].seq)):
        places.append(seen)
        places.sort(key=lambda s: (s.t, s.seq))
    else:
        places.append(seen)
    if t < track.early[0] or not track.early[1]:
        track.early = (t, seen.h)
    if t >= track.late[0] or not track.late[1]:
        track.late = (t, seen.h)
    if len(places) > _OBSERVATIONS:
        del places[0]


def _follow(track: Track, t: int, lat: float, lon: float) -> None:
    second = t // 1000
    if second not in track.trail and len(track.trail) >= _TRAIL:
        # a long pass: keep every second point, ends included
        for odd in sorted(track.trail)[1:-1:2]:
            del track.trail[odd]
    track.trail[second] = (t, lat, lon)


def _count(track: Track, text: str, confidence: float, worth: float) -> None:
    texts = track.texts
    number, weight = texts.get(text, (0, 0))
    # weights are rounded so that their sum does not depend on the order of adding
    texts[text] = (number + 1, weight + round(confidence * worth))
    if len(texts) > _TEXTS:
        del texts[min(texts, key=lambda s: (texts[s][1], s))]
    lead = text if len(texts) == 1 else _heaviest(texts)
    if lead != track.lead:
        track.lead = lead
    if text == lead and confidence > track.lead_confidence:
        track.lead_confidence = confidence


def _heaviest(texts: Mapping[str, tuple[int, int]]) -> str:
    lead, most = "", -1
    for text, (_, weight) in texts.items():
        if weight > most or (weight == most and text > lead):
            lead, most = text, weight
    return lead


def _retain(state: CameraState, track: Track, frame: FrameReads, rank: int, text: str, t: int, worth: float) -> None:
    """Keep the looks that vote, and the crops of those that may become the evidence."""
    seq, best, looks = frame.seq, track.best, track.looks
    held = best.get(text)
    if held is None and len(best) >= _CROPS:
        least = min(best, key=lambda s: (track.texts.get(s, (0, 0))[1], s))
        if track.texts.get(least, (0, 0))[1] < track.texts.get(text, (0, 0))[1]:
            del best[least]
    bucket = round(math.log(worth) / _LOG_STEP)
    if len(best) < _CROPS if held is None else (bucket, -seq) > (held[0], -held[1]):
        best[text] = (bucket, seq)
        crop = frame.reads[rank].crop_jpeg
        if crop and len(crop) <= MAX_CROP_BYTES:
            state.crops.setdefault(track.uid, {})[seq] = crop
            state.dirty.add(track.uid)
    elif len(looks) >= BALLOTS and worth < looks[-1].quality:
        return
    at = 0
    for look in looks:
        if worth > look.quality or (worth == look.quality and seq < look.seq):
            break
        at += 1
    looks.insert(at, look_of(frame, rank, text, t, worth))
    if len(looks) > BALLOTS:
        keep = [seq for _, seq in best.values()]
        last = BALLOTS
        while looks[last].seq in keep:
            last -= 1
        del looks[last]
    crops = state.crops.get(track.uid)
    if crops and len(crops) > len(best):
        for seq in crops.keys() - {seq for _, seq in best.values()}:
            del crops[seq]


def absorb(into: Track, track: Track, crops: Mapping[int, bytes]) -> None:
    """Let `into` have the reads of `track`; `crops` are those of `into`, the other's are lost."""
    into.first = min(into.first, track.first)
    into.first_t, into.last_t = min(into.first_t, track.first_t), max(into.last_t, track.last_t)
    into.last_seq = max(into.last_seq, track.last_seq)
    into.touched = max(into.touched, track.touched)
    into.frames += track.frames
    for text, (number, weight) in track.texts.items():
        known = into.texts.get(text, (0, 0))
        into.texts[text] = (known[0] + number, known[1] + weight)
    into.seen = sorted((*into.seen, *track.seen), key=lambda s: (s.t, s.seq))[-_OBSERVATIONS:]
    # a look of a frame that `into` has too must not be taken for the owner of its crop
    own = {look.seq for look in into.looks} | crops.keys()
    room = max(0, BALLOTS - len(into.looks))
    fresh = sorted((k for k in track.looks if k.seq not in own), key=lambda k: (-k.quality, k.seq))
    into.looks = sorted(into.looks + fresh[:room], key=worse)
    into.early, into.late = min(into.early, track.early), max(into.late, track.late)
    into.trail = track.trail | into.trail


def slim(state: CameraState, track: Track) -> None:
    """Let a track that time has left behind keep only what a late frame may still need: most of a state is such."""
    if len(track.best) <= 1 and len(track.looks) <= _CLOSED_BALLOTS:
        return
    state.encoded.pop(track.uid, None)
    if track.best:
        nearest = min(track.best, key=lambda text: (distance(text, track.told_plate), text))
        track.best = {nearest: track.best[nearest]}
    keep = {seq for _, seq in track.best.values()}
    best = sorted(track.looks, key=lambda k: (k.seq not in keep, *worse(k)))
    track.looks = sorted(best[:_CLOSED_BALLOTS], key=worse)
    track.seen = track.seen[-2:]
    crops = state.crops.get(track.uid)
    if crops and len(crops) > len(keep):
        for seq in crops.keys() - keep:
            del crops[seq]
        state.dirty.add(track.uid)


def forget_crops(state: CameraState, uid: str) -> None:
    """Let the crops of a track go."""
    if state.crops.pop(uid, None) is not None:
        state.dirty.add(uid)
