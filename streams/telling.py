"""A track -> the messages that tell of it: when is it a sighting, what is worth a new revision, what it says.

Nothing here looks at the wall clock except for `emitted_at`: a replay tells the same revisions with the same content.
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import Literal

from plumbing.clock import from_ms
from schemas.ids import sighting_id
from schemas.sighting import Evidence, Sighting, TrailPoint
from streams.looks import Look, ballot_of, corners_of
from streams.settings import TrackerSettings
from streams.text import distance
from streams.track import TENTATIVE, Track
from streams.vote import Vote, vote

Status = Literal["provisional", "final", "withdrawn"]
Direction = Literal["approaching", "receding", "unknown"]

_GROWN = 1.15
_SURER = 0.1
_BETTER_CROP = 1.6
_SETTLED = 0.75
"""Of what was read, by weight, this much says the told plate: a vote will hardly say another."""


def vote_of(track: Track) -> Vote:
    """What the track's looks say together."""
    return vote([ballot_of(look) for look in track.looks])


def agreeing(track: Track, plate: str) -> int:
    """Reads that say `plate` to the letter."""
    return track.texts.get(plate, (0, 0))[0]


def direction(track: Track) -> Direction:
    """Whether the plate grew or shrank in the picture over the pass."""
    (t0, h0), (t1, h1) = track.early, track.late
    if track.frames < 3 or t1 <= t0 or h0 <= 0:
        return "unknown"
    ratio = h1 / h0
    return "approaching" if ratio >= _GROWN else "receding" if ratio <= 1 / _GROWN else "unknown"


def opens(track: Track, said: Vote, settings: TrackerSettings) -> bool:
    """True when the reads so far are enough to tell of a sighting while it goes on."""
    if track.still:
        return said.confidence >= settings.still_confidence
    if agreeing(track, said.plate) >= settings.agree_reads and said.confidence >= settings.agree_confidence:
        return True
    return said.confidence >= settings.sure_confidence and not _lone_piece(track, said, settings)


def remains(track: Track, said: Vote, settings: TrackerSettings) -> bool:
    """True when a track that closes untold is a sighting all the same."""
    if opens(track, said, settings):
        return True
    if _lone_piece(track, said, settings):
        return False
    # what alone would be kept is so beside others that say nothing
    surest = track.lead_confidence if said.plate == track.lead else 0.0
    return max(said.confidence, surest) >= settings.keep_confidence or (
        track.frames >= settings.agree_reads
        and said.confidence >= settings.keep_least
        and likeness(track, said.plate) >= settings.keep_likeness
    )


def _lone_piece(track: Track, said: Vote, settings: TrackerSettings) -> bool:
    return len(said.plate) < settings.lone_length and agreeing(track, said.plate) < settings.agree_reads


def likeness(track: Track, plate: str) -> float:
    """How much the track's reads resemble `plate` on average, 0..1: low for what is no plate at all."""
    looks = track.looks
    near = sum(max(0.0, 1.0 - distance(k.said.text, plate) / len(plate)) for k in looks if plate)
    return near / len(looks)


def stands(track: Track) -> bool:
    """True when no vote is needed to say that an open sighting cannot be told notably better than it was."""
    if track.told_confidence <= 1.0 - _SURER or track.looks[0].quality >= track.told_quality * _BETTER_CROP:
        return False
    if track.told_direction == "unknown" and direction(track) != "unknown":
        return False
    weight = sum([weight for _, weight in track.texts.values()])
    return track.texts.get(track.told_plate, (0, 0))[1] >= _SETTLED * weight


def improved(track: Track, said: Vote, winner: Look) -> bool:
    """True when an open sighting can be told notably better than it was."""
    return (
        said.plate != track.told_plate
        or said.confidence >= track.told_confidence + _SURER
        or (track.told_direction == "unknown" and direction(track) != "unknown")
        or winner.quality >= track.told_quality * _BETTER_CROP
    )


def winning(track: Track, plate: str, crops: Mapping[int, bytes]) -> Look:
    """The look that shows the plate best among those nearest to the voted text, with its crop where any has one."""
    looks = [look for look in track.looks if look.seq in crops] or track.looks
    return min(looks, key=lambda k: (distance(k.said.text, plate), -k.quality, k.seq))


def _evidence(look: Look, crop: bytes, topic: str) -> Evidence:
    return Evidence(
        seq=look.seq,
        captured_at=from_ms(look.t),
        corners=corners_of(look),
        crop_jpeg=crop,
        crop_sha256=sha256(crop).hexdigest() if crop else "",
        frame_sha256=look.frame_sha256,
        topic=topic,
        partition=look.partition,
        offset=look.offset,
        frame_index=look.frame_index,
    )


class Teller:
    """Builds the messages of one camera."""

    def __init__(self, camera_id: str, frames_topic: str, now_ms: int) -> None:
        self._camera_id = camera_id
        self._topic = frames_topic
        self._now_ms = now_ms

    def tell(self, track: Track, said: Vote, crops: Mapping[int, bytes], status: Status) -> list[Sighting]:
        """The next revision of the track, which learns that it was told.

        When the plate is another one than was told before, the old plate's withdrawal comes first.
        """
        if track.phase == TENTATIVE or not track.sighting_id:
            track.opened_t, seq, rank = track.first
            track.sighting_id = sighting_id(self._camera_id, seq, rank)
        out = []
        if track.told_plate and track.told_plate != said.plate:
            out.append(self.withdraw(track, said))
            track.former = [plate for plate in (*track.former, track.told_plate) if plate != said.plate][-8:]
        winner = winning(track, said.plate, crops)
        track.revision += 1
        track.told_plate = said.plate
        track.told_confidence = said.confidence
        track.told_direction = direction(track)
        track.told_t = track.last_t
        track.told_quality = winner.quality
        track.told_frames = track.frames
        out.append(self._sighting(track, said, winner, crops.get(winner.seq, b""), status))
        return out

    def withdraw(self, track: Track, said: Vote | None) -> Sighting:
        """The revision that takes the told plate back.

        Its candidates say what the sighting is known as now; they are empty when it is none any more.
        """
        track.revision += 1
        winner = winning(track, track.told_plate, {})
        now = said or Vote("", 0.0, (), "", 0.0)
        told = Vote(track.told_plate, track.told_confidence, now.candidates, now.region, now.region_confidence)
        return self._sighting(track, told, winner, b"", "withdrawn")

    def _sighting(self, track: Track, said: Vote, winner: Look, crop: bytes, status: Status) -> Sighting:
        return Sighting(
            sighting_id=track.sighting_id,
            revision=track.revision,
            status=status,
            camera_id=self._camera_id,
            plate=said.plate,
            confidence=said.confidence,
            region=said.region,
            region_confidence=said.region_confidence,
            candidates=said.candidates,
            votes=agreeing(track, said.plate),
            frames=track.frames,
            opened_at=from_ms(track.opened_t),
            first_seen=from_ms(track.first_t),
            last_seen=from_ms(track.last_t),
            lat=winner.lat,
            lon=winner.lon,
            heading=winner.heading,
            speed=winner.speed,
            direction=direction(track),
            trail=tuple(
                TrailPoint(at=from_ms(t), lat=lat, lon=lon) for _, (t, lat, lon) in sorted(track.trail.items())
            ),
            evidence=_evidence(winner, crop, self._topic),
            model_version=winner.model_version,
            emitted_at=from_ms(self._now_ms),
            former_plates=tuple(track.former),
        )
