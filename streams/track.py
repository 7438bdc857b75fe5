"""State of one camera: tracks, what is known of the camera, the last applied offset; bytes <-> state.

The state is two parts, because a table writes whole values: the part that changes with every frame (small), and
per track the crops of its best reads (large, change seldom).
"""

import math
from bisect import insort
from collections.abc import Mapping
from typing import Any

import msgspec

from schemas.read import FrameReads
from streams.looks import Look, look_of, worse
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


class Track(msgspec.Struct, array_like=True, eq=False):
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


class CameraTracks(msgspec.Struct, array_like=True):
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
    """CameraTracks with the crops of its tracks, and which of these changed since they were last written."""

    __slots__ = ("closed", "crops", "dirty", "hot")

    def __init__(self, hot: CameraTracks, crops: dict[str, dict[int, bytes]] | None = None) -> None:
        self.hot = hot
        self.crops = crops if crops is not None else {}
        """uid -> seq -> JPEG."""
        self.dirty: set[str] = set()
        self.closed: dict[str, tuple[Mark, msgspec.Raw]] = {}
        """uid -> a closed track as it was last encoded."""


Mark = tuple[int, ...]
_encoder = msgspec.msgpack.Encoder()
_tracks = msgspec.msgpack.Decoder(CameraTracks)
_crops = msgspec.msgpack.Decoder(dict[int, bytes])


def new_state(camera_id: str) -> CameraState:
    """A camera of which nothing is known."""
    return CameraState(CameraTracks(camera_id=camera_id))


def encode_state(state: CameraState) -> bytes:
    """The part without crops. Closed tracks, most of it, are encoded again only when they have changed."""
    before, state.closed = state.closed, {}
    tracks: list[Any] = []
    for track in state.hot.tracks:
        if track.phase != CLOSED:
            tracks.append(track)
            continue
        mark = _mark(track)
        known = before.get(track.uid)
        if known is None or known[0] != mark:
            known = mark, msgspec.Raw(_encoder.encode(track))
        state.closed[track.uid] = known
        tracks.append(known[1])
    return _encoder.encode(msgspec.structs.replace(state.hot, tracks=tracks))


def _mark(track: Track) -> Mark:
    """Changes whenever a closed track does: by a late read, by another that it absorbs, when told or made slim."""
    return track.touched, track.frames, track.revision, len(track.looks), len(track.best)


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
    state.hot.tracks.append(track)
    return track


def add_read(state: CameraState, track: Track, frame: FrameReads, rank: int, text: str, t: int) -> None:
    """Let the track have one read; `text` is the plate or empty when it says nothing."""
    read = frame.reads[rank]
    x, y, w, h = read.box
    _see(track, Seen(t, frame.seq, x + w / 2, y + h / 2, w, h, bool(text)))
    if t >= track.last_t and frame.lat is not None and frame.lon is not None:
        track.place = (frame.lat, frame.lon)
    track.first_t = min(track.first_t, t)
    track.last_t = max(track.last_t, t)
    track.last_seq = max(track.last_seq, frame.seq)
    track.touched = state.hot.frames
    if not text:
        return
    track.first = (t, frame.seq, rank) if not track.frames else min(track.first, (t, frame.seq, rank))
    track.frames += 1
    if frame.lat is not None and frame.lon is not None:
        _follow(track, t, frame.lat, frame.lon)
    look = look_of(frame, read, rank, text, t)
    _count(track, text, look)
    _retain(state, track, look, read.crop_jpeg)


def _see(track: Track, seen: Seen) -> None:
    places = track.seen
    places.append(seen)
    if len(places) > 1 and (seen.t, seen.seq) <= (places[-2].t, places[-2].seq):
        places.sort(key=lambda s: (s.t, s.seq))
    if not track.early[1] or seen.t < track.early[0]:
        track.early = (seen.t, seen.h)
    if not track.late[1] or seen.t >= track.late[0]:
        track.late = (seen.t, seen.h)
    if len(places) > _OBSERVATIONS:
        del places[0]


def _follow(track: Track, t: int, lat: float, lon: float) -> None:
    second = t // 1000
    known = track.trail.get(second)
    if known is None or t < known[0]:
        if known is None and len(track.trail) >= _TRAIL:
            # a long pass: keep every second point, ends included
            for odd in sorted(track.trail)[1:-1:2]:
                del track.trail[odd]
        track.trail[second] = (t, lat, lon)


def _count(track: Track, text: str, look: Look) -> None:
    number, weight = track.texts.get(text, (0, 0))
    # weights are rounded so that their sum does not depend on the order of adding
    weight += round(look.said.confidence * look.quality)
    track.texts[text] = (number + 1, weight)
    if len(track.texts) > _TEXTS:
        del track.texts[min(track.texts, key=lambda s: (track.texts[s][1], s))]
    track.lead = text if len(track.texts) == 1 else max(track.texts, key=lambda s: (track.texts[s][1], s))
    if text == track.lead:
        track.lead_confidence = max(track.lead_confidence, look.said.confidence)


def _retain(state: CameraState, track: Track, look: Look, crop: bytes) -> None:
    """Keep the looks that vote, and the crops of those that may become the evidence."""
    bucket = round(math.log(look.quality) / _LOG_STEP)
    text = look.said.text
    held = track.best.get(text)
    if held is None and len(track.best) >= _CROPS:
        least = min(track.best, key=lambda s: (track.texts.get(s, (0, 0))[1], s))
        if track.texts.get(least, (0, 0))[1] >= track.texts.get(text, (0, 0))[1]:
            least = text
        else:
            del track.best[least]
    if (held or len(track.best) < _CROPS) and (held is None or (bucket, -look.seq) > (held[0], -held[1])):
        track.best[text] = (bucket, look.seq)
        if crop and len(crop) <= MAX_CROP_BYTES:
            state.crops.setdefault(track.uid, {})[look.seq] = crop
            state.dirty.add(track.uid)
    looks = track.looks
    insort(looks, look, key=worse)
    keep = {seq for _, seq in track.best.values()}
    if len(looks) > BALLOTS:
        last = BALLOTS
        while looks[last].seq in keep:
            last -= 1
        del looks[last]
    crops = state.crops.get(track.uid)
    if crops and len(crops) > len(keep):
        for seq in crops.keys() - keep:
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
