"""Frames of one camera -> sightings. Pure: the state, a message, its offset and the wall clock's time come in.

`step` applies one message of fleet.reads to the state of its camera and returns the state and the messages that must
be sent. What it decides depends on the messages alone, so that a replay after a crash tells the same again under the
same identities; the wall clock only stamps `emitted_at`.
"""

import math
from collections.abc import Sequence
from datetime import datetime

from plumbing.clock import from_ms
from schemas.camera import CameraState as CameraMessage
from schemas.read import CloseTracks, FrameReads, PlateRead, ReadsMessage
from schemas.sighting import Sighting
from schemas.topics import FRAMES
from streams import motion
from streams.framing import cut, distinct, sane_place, within_metres
from streams.settings import TrackerSettings
from streams.telling import Teller, agreeing, improved, opens, remains, stands, vote_of, winning
from streams.text import distance, fragment
from streams.track import (
    CLOSED,
    OPEN,
    TENTATIVE,
    CameraState,
    CameraTracks,
    Track,
    absorb,
    add_read,
    add_seq,
    begin,
    forget_crops,
    missing,
    slim,
)
from streams.vote import Vote

_LOOKALIKE = 0.35
_ALIKE = 2.0
"""Text distance up to which two tracks are one vehicle when the one began where the other was expected."""
_FEW = 2
"""... and no more reads than this agree that it is another."""
_MISREAD = 4.0
"""Text distance of a misread of one vehicle, at most, where all says that it is this vehicle."""
_SAME_SPOT = 1.0
"""Plate widths from the expected place within which that is."""
_SPOT_S = 1.0
_TURNS = 2
"""So often two tracks must have taken turns at one place to be one vehicle."""
_PURGE_FRAMES = 200
_MAX_CLOSED = 32
_BACKLOG_MS = 60_000
_CLOCK_STEP_MS = 60_000
DEFAULTS = TrackerSettings()


def step(
    state: CameraState, message: ReadsMessage, offset: int, now_ms: int, settings: TrackerSettings = DEFAULTS
) -> tuple[CameraState, list[Sighting]]:
    """Apply the message at `offset` of the camera's partition; the state that comes in must not be used again.

    A message at or before the last applied offset changes and tells nothing: its sightings were acknowledged
    before the state that holds it was written. A frame whose number was applied before changes only the offset.

    Args:
        state: of the camera, from `new_state` or the last step.
        message: a frame's reads or a close command.
        offset: of the message in fleet.reads.
        now_ms: wall clock, epoch milliseconds.
        settings: limits.
    """
    if offset <= state.hot.offset:
        return state, []
    state.hot.offset = offset
    if isinstance(message, CloseTracks):
        return state, _close_all(state, message, now_ms, settings)
    if not add_seq(state.hot, message.seq):
        return state, []
    return state, _frame(state, message, now_ms, settings)


def camera_message(state: CameraState, status: str, now: datetime) -> CameraMessage:
    """What fleet.cameras is told of the camera."""
    hot = state.hot
    return CameraMessage(
        camera_id=hot.camera_id,
        status="live" if status == "live" else "silent",
        last_seq=hot.seqs[-1][1] if hot.seqs else 0,
        last_seen=from_ms(hot.last_t),
        frames=hot.frames,
        missing=missing(hot),
        reads=hot.reads,
        clock_skew_ms=round(hot.skew_ms),
        luma=round(hot.luma, 1),
        lat=hot.lat,
        lon=hot.lon,
        heading=hot.heading,
        speed=hot.speed,
        width=hot.width,
        height=hot.height,
        model_version=hot.model_version,
        emitted_at=now,
    )


def has_open(state: CameraState) -> bool:
    """True when a track waits for its end."""
    return any(track.phase != CLOSED for track in state.hot.tracks)


# --- one frame


def _frame(state: CameraState, frame: FrameReads, now_ms: int, settings: TrackerSettings) -> list[Sighting]:
    hot = state.hot
    t = _event_time(hot, frame, settings)
    frame = sane_place(frame)
    _health(hot, frame, t)
    teller = Teller(hot.camera_id, FRAMES.name, now_ms)
    told: list[Sighting] = []
    ranks = distinct(frame.reads)
    if ranks:
        for track in _join(state, frame, ranks, t, settings):
            told += _consider(state, track, teller, settings)
    # tracks that a late frame prolonged were told as closed; the pass below tells them anew
    told += _pass_time(state, teller, settings)
    return told


def _event_time(hot: CameraTracks, frame: FrameReads, settings: TrackerSettings) -> int:
    """The camera's clock, corrected where it is beyond all bounds."""
    skew = frame.captured_at - frame.published_at
    hot.skew_ms = float(skew) if not hot.frames else 0.9 * hot.skew_ms + 0.1 * skew
    sane = frame.captured_at >= settings.earliest_ms and skew <= settings.max_ahead_s * 1000
    if sane:
        return frame.captured_at
    if hot.bad_clock_ms is None or abs(hot.bad_clock_ms - skew) > _CLOCK_STEP_MS:
        hot.bad_clock_ms = skew
    return frame.captured_at - hot.bad_clock_ms


def _health(hot: CameraTracks, frame: FrameReads, t: int) -> None:
    luma = frame.luma if math.isfinite(frame.luma) else 0.0
    hot.luma = luma if not hot.frames else 0.9 * hot.luma + 0.1 * luma
    hot.frames += 1
    hot.reads += len(frame.reads)
    if t < hot.clock - _BACKLOG_MS:
        # a camera that was cut off delivers what it kept: its time begins anew
        hot.clock = t
    hot.clock = max(hot.clock, t)
    if t >= hot.last_t or hot.clock == t:
        hot.last_t = t
        hot.lat, hot.lon, hot.heading, hot.speed = frame.lat, frame.lon, frame.heading, frame.speed
        hot.width, hot.height, hot.model_version = frame.width, frame.height, frame.model_version


def _join(
    state: CameraState, frame: FrameReads, ranks: Sequence[int], t: int, settings: TrackerSettings
) -> list[Track]:
    """Give every read to a track that it continues, or to a new one. Returns the tracks in the reads' order."""
    offers = [_offer(frame.reads[rank], frame, settings) for rank in ranks]
    tracks = _in_reach(state, frame, t, settings)
    chosen = motion.choose(tracks, offers, t)
    by_place = motion.by_place(tracks, offers, chosen, t)
    chosen = [by_place.get(row, column) for row, column in enumerate(chosen)]
    joined = []
    for row, (rank, offer, column) in enumerate(zip(ranks, offers, chosen, strict=True)):
        track = tracks[column] if column >= 0 else begin(state, frame, rank, t)
        if track.phase == TENTATIVE and (column < 0 or track.beside):
            there = [other for k, other in enumerate(tracks) if k not in chosen and _expected(other, offer, t)]
            again = next((other for other in there if other.uid == track.beside), None)
            if again is not None:
                track.turns += again.last_t > track.last_t
            elif not track.turns:
                nearest = min(there, key=lambda other: distance(offer.text, other.lead), default=None)
                track.beside, track.turns = nearest.uid if nearest is not None else "", 0
        text = "" if row in by_place else offer.text or _whole(frame.reads[rank], track)
        add_read(state, track, frame, rank, text, t)
        joined.append(track)
    return joined


def _offer(read: PlateRead, frame: FrameReads, settings: TrackerSettings) -> motion.Offer:
    x, y, w, h = read.box
    text = read.plate
    if not settings.min_length <= len(text) <= settings.max_length or cut(read, frame):
        text = ""
    return motion.Offer(x + w / 2, y + h / 2, w, h, text, read.confidence)


def _whole(read: PlateRead, track: Track) -> str:
    """What a read at the picture's edge says when it is as long as the track's text and much like it: no piece."""
    return read.plate if len(read.plate) == len(track.lead) and distance(read.plate, track.lead) <= _ALIKE else ""


def _expected(track: Track, offer: motion.Offer, t: int) -> bool:
    place = motion.predict(track.seen, t)
    apart = math.hypot(place.x - offer.x, place.y - offer.y)
    return place.dt <= _SPOT_S and apart <= _SAME_SPOT * max(place.w, offer.w)


def _in_reach(state: CameraState, frame: FrameReads, t: int, settings: TrackerSettings) -> list[Track]:
    gap = settings.gap_s * 1000
    begins, ends = t - gap, t + gap
    here = None if frame.lat is None or frame.lon is None else (frame.lat, frame.lon)
    return [
        track
        for track in state.read_since(begins)
        if begins <= track.last_t
        and track.first_t <= ends
        and track.still == frame.still
        and _near(track.place, here, settings)
    ]


def _near(a: tuple[float, float] | None, b: tuple[float, float] | None, settings: TrackerSettings) -> bool:
    return a is None or b is None or within_metres(a, b, settings.max_jump_m)


# --- telling


def _crops(state: CameraState, track: Track) -> dict[int, bytes]:
    return state.crops.get(track.uid, {})


def _consider(state: CameraState, track: Track, teller: Teller, settings: TrackerSettings) -> list[Sighting]:
    """Tell of a track that has just got a read, when that is worth it."""
    if not track.frames:
        return []
    if track.phase == OPEN and _rests(state, track, settings):
        # most reads end here
        return []
    if track not in state.hot.tracks:
        # the read before it in this frame has merged it into another
        return []
    if track.still:
        state.unsettle()
        return _tell_still(state, track, teller, settings)
    if track.phase == CLOSED:
        state.unsettle()
        if track.last_t < state.hot.clock - settings.gap_s * 1000:
            return teller.tell(track, vote_of(track), _crops(state, track), "final")
        track.phase = OPEN
        if _rests(state, track, settings):
            return []
    if track.phase == TENTATIVE:
        if not _may_open(track, settings):
            return []
        said = vote_of(track)
        if not opens(track, said, settings):
            return []
        twin = _twin(state, track, said, settings)
        if (
            twin is not None
            and twin.uid == track.beside
            and distance(said.plate, twin.told_plate) > _LOOKALIKE
            and not _take_turns(track, twin)
        ):
            # a misread, or another vehicle that is read again in a moment: its end or more reads will tell
            return []
        if twin is not None:
            return _join_twin(state, track, twin, teller, settings)
        told = teller.tell(track, said, _crops(state, track), "provisional")
        track.phase = OPEN
        return told
    track.told_t = state.hot.clock
    if stands(track):
        return []
    said = vote_of(track)
    if not improved(track, said, winning(track, said.plate, _crops(state, track))):
        return []
    twin = _twin(state, track, said, settings)
    if twin is not None:
        return _join_twin(state, track, twin, teller, settings)
    return teller.tell(track, said, _crops(state, track), "provisional")


def _rests(state: CameraState, track: Track, settings: TrackerSettings) -> bool:
    """True when it is not yet time to look whether an open sighting can be told better."""
    return track.frames == track.told_frames or state.hot.clock - track.told_t < settings.update_s * 1000


def _may_open(track: Track, settings: TrackerSettings) -> bool:
    """A cheap look before the vote: can it come out as enough?"""
    most = track.texts[track.lead][0]
    return (
        most >= settings.agree_reads
        or track.frames > settings.agree_reads
        or (track.lead_confidence >= settings.sure_confidence)
    )


def _tell_still(state: CameraState, track: Track, teller: Teller, settings: TrackerSettings) -> list[Sighting]:
    said = vote_of(track)
    if track.phase == TENTATIVE and not opens(track, said, settings):
        return []
    told = teller.tell(track, said, _crops(state, track), "final")
    track.phase = CLOSED
    return told


def _twin(state: CameraState, track: Track, said: Vote, settings: TrackerSettings) -> Track | None:
    """Another told track that is the same vehicle: the same text at the same time, never read both in one frame."""
    gap = settings.gap_s * 1000
    frames = {seen.seq for seen in track.seen if seen.said}
    for other in state.hot.tracks:
        if (
            other is not track
            and other.told_plate
            and not other.still
            and other.first_t - gap <= track.last_t
            and track.first_t <= other.last_t + gap
            and _same_plate(track, said.plate, other)
            and frames.isdisjoint(seen.seq for seen in other.seen if seen.said)
            and _near(track.place, other.place, settings)
        ):
            return other
    return None


def _same_plate(track: Track, plate: str, other: Track) -> bool:
    """A plate that was told is another one unless it is equal; before that, a look-alike or a piece is the same.

    What few reads said where the other was just before and after is a misread of it, told or not.
    """
    told = other.told_plate
    few = agreeing(track, plate) <= (1 if track.told_plate else _FEW) or _take_turns(track, other)
    if few and distance(plate, told) <= _MISREAD and (other.uid == track.beside or _on_way(track, other)):
        return True
    if track.told_plate:
        return plate == told
    if other.uid == track.beside or track.uid == other.beside:
        return distance(plate, told) <= (_ALIKE if agreeing(track, plate) <= _FEW else _LOOKALIKE)
    return distance(plate, told) <= _LOOKALIKE or fragment(plate, told)


def _take_turns(track: Track, other: Track) -> bool:
    """True when now the one and now the other is read at one place: a vehicle whose text flickers."""
    return track.beside == other.uid and track.turns >= _TURNS


def _on_way(track: Track, other: Track) -> bool:
    """True when each place where the track was read is where the other, seen within a second of it, was expected."""
    read = [seen for seen in track.seen if seen.said]
    places = [motion.predict(other.seen, seen.t) for seen in read] if other.seen else []
    return bool(places) and all(
        place.dt <= _SPOT_S and math.hypot(place.x - seen.x, place.y - seen.y) <= _SAME_SPOT * max(place.w, seen.w)
        for place, seen in zip(places, read, strict=True)
    )


def _merge(state: CameraState, track: Track, into: Track, teller: Teller) -> list[Sighting]:
    """Let `into` have all that `track` has; a track that was told before is taken back."""
    told = [teller.withdraw(track, None)] if track.told_plate else []
    state.unsettle()
    state.encoded.pop(into.uid, None)
    absorb(into, track, _crops(state, into))
    forget_crops(state, track.uid)
    state.hot.tracks.remove(track)
    return told


def _join_twin(
    state: CameraState, track: Track, into: Track, teller: Teller, settings: TrackerSettings
) -> list[Sighting]:
    """Merge while the vehicle is in sight: a closed twin goes on, unless time has left it behind."""
    told = _merge(state, track, into, teller)
    if into.phase == CLOSED:
        if into.last_t < state.hot.clock - settings.gap_s * 1000:
            return told + teller.tell(into, vote_of(into), _crops(state, into), "final")
        into.phase = OPEN
    return told


# --- closing


def _close(state: CameraState, track: Track, teller: Teller, settings: TrackerSettings) -> list[Sighting]:
    """The end of a track: told for the last time, or dropped when it was never a sighting."""
    if track.phase == CLOSED:
        return []
    if track.frames:
        said = vote_of(track)
        twin = _twin(state, track, said, settings)
        if twin is not None:
            told = _merge(state, track, twin, teller)
            if twin.phase == CLOSED:
                told += teller.tell(twin, vote_of(twin), _crops(state, twin), "final")
            return told
        if track.phase == OPEN or remains(track, said, settings):
            track.phase = CLOSED
            return teller.tell(track, said, _crops(state, track), "final")
    forget_crops(state, track.uid)
    state.hot.tracks.remove(track)
    return []


def _pass_time(state: CameraState, teller: Teller, settings: TrackerSettings) -> list[Sighting]:
    """Close what the camera's clock has left behind, forget what is closed for long."""
    hot = state.hot
    if hot.clock <= state.settled_until:
        return []
    gap, keep = settings.gap_s * 1000, settings.keep_s * 1000
    ends = hot.clock - gap
    told: list[Sighting] = []
    past = [track for track in hot.tracks if track.last_t < ends]
    for track in past:
        # the end of one may be the end of another
        if track.phase != CLOSED and track in hot.tracks:
            told += _close(state, track, teller, settings)
    oldest = hot.clock - keep
    closed = [track for track in hot.tracks if track.phase == CLOSED]
    if len(closed) > _MAX_CLOSED:
        closed.sort(key=lambda track: track.touched)
        for track in closed[:-_MAX_CLOSED]:
            _forget(state, track)
        del closed[:-_MAX_CLOSED]
    for track in closed:
        if track.last_t < ends:
            slim(state, track)
            if track.last_t < oldest and hot.frames - track.touched > _PURGE_FRAMES:
                _forget(state, track)
    nothing_before = min(
        (track.last_t + (keep if track.phase == CLOSED and track.last_t < ends else gap) for track in hot.tracks),
        default=math.inf,
    )
    state.settle(nothing_before - 1, ends - gap)
    return told


def _forget(state: CameraState, track: Track) -> None:
    forget_crops(state, track.uid)
    state.hot.tracks.remove(track)


def _close_all(state: CameraState, command: CloseTracks, now_ms: int, settings: TrackerSettings) -> list[Sighting]:
    teller = Teller(state.hot.camera_id, FRAMES.name, now_ms)
    if state.hot.seqs and state.hot.seqs[-1][1] > command.seq:
        return []
    told: list[Sighting] = []
    state.unsettle()
    for track in list(state.hot.tracks):
        if track.phase != CLOSED and track.last_seq <= command.seq and track in state.hot.tracks:
            told += _close(state, track, teller, settings)
    return told
