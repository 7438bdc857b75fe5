"""Codec, identities, topics and hotlist entries."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from schemas import ids, topics
from schemas.codec import (
    SchemaError,
    decode_dead,
    decode_frame_header,
    decode_json,
    decode_reads,
    encode_frame_header,
    encode_json,
    encode_reads,
)
from schemas.frame import FrameHeader
from schemas.hotlist import HotlistEntry, normalise_entry
from schemas.read import CloseTracks, FrameReads, PlateRead
from schemas.topics import FRAME_MAX_BYTES, TOPICS

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HEADER = FrameHeader(camera_id="cam-1", seq=1, captured_at=1, codec="jpeg", width=2, height=3, sha256="0" * 64)


def entry(**changes: object) -> HotlistEntry:
    fields = {"hotlist_id": "stolen", "entry": "TEST001", "added_at": NOW} | changes
    return HotlistEntry(**fields)  # type: ignore[arg-type]


# --- codec


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b"\xff", b'{"hotlist_id":"x"}', encode_json(entry())[:-2]])
def test_json_that_does_not_fit(data: bytes) -> None:
    with pytest.raises(SchemaError, match="not a HotlistEntry") as caught:
        decode_json(data, HotlistEntry)
    assert caught.value.reason == "bad_value"


def test_a_field_of_a_later_version_is_passed_over() -> None:
    data = encode_json(entry())[:-1] + b',"from_the_future":{"a":[1]}}'
    assert decode_json(data, HotlistEntry) == entry()


@pytest.mark.parametrize("data", [b"", b"\xc1", encode_reads(CloseTracks(camera_id="c", seq=1, sent_at=2))[:-1]])
def test_reads_that_do_not_fit(data: bytes) -> None:
    with pytest.raises(SchemaError):
        decode_reads(data)


@pytest.mark.parametrize(
    "symbols", [(("X" * 1_700, 1.0),), (("AB", 0.9), ("A", 0.1)), (), tuple((sign, 0.1) for sign in "ABCDEFGHI")]
)
def test_a_character_is_one_of_a_few_symbols(symbols: tuple[tuple[str, float], ...]) -> None:
    """Longer ones would vote plates of any length, whose neighbours on a hotlist take minutes to find."""
    corners = ((0.0, 0.0), (9.0, 0.0), (9.0, 3.0), (0.0, 3.0))
    read = PlateRead(
        plate="KLM471", confidence=0.9, detection_confidence=0.9, box=(0.0, 0.0, 9.0, 3.0), corners=corners
    )
    frame = FrameReads(
        camera_id="c", seq=1, captured_at=1, published_at=1, width=9, height=9, model_version="m", frame_partition=0,
        frame_offset=0, frame_sha256="", reads=(read,),
    )  # fmt: skip
    assert decode_reads(encode_reads(frame)) == frame
    odd = replace(frame, reads=(replace(read, char_probs=(symbols,) * 6),))
    with pytest.raises(SchemaError, match="char_probs"):
        decode_reads(encode_reads(odd))


@given(
    seq=st.integers(0, 2**53),
    camera_id=st.text(max_size=20),
    lat=st.one_of(st.none(), st.floats(-90, 90)),
    still=st.booleans(),
)
def test_frame_headers_survive(seq: int, camera_id: str, lat: float | None, still: bool) -> None:
    header = replace(HEADER, seq=seq, camera_id=camera_id, lat=lat, still=still)
    assert decode_frame_header(encode_frame_header(header)) == header


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("schema", None), "bad_header"),
        (("schema", b"2"), "unknown_schema"),
        (("schema", b"\xff"), "unknown_schema"),
        (("seq", None), "bad_header"),
        (("seq", b"seven"), "bad_header"),
        (("camera_id", b"\xff\xfe"), "bad_header"),
        (("codec", b"png"), "bad_header"),
        (("positions", b"[{"), "bad_header"),
        (("lat", b"north"), "bad_header"),
    ],
)
def test_frame_headers_that_do_not_fit(change: tuple[str, bytes | None], reason: str) -> None:
    name, value = change
    headers = [(key, raw) for key, raw in encode_frame_header(HEADER) if key != name]
    if value is not None:
        headers.append((name, value))
    with pytest.raises(SchemaError) as caught:
        decode_frame_header(headers)
    assert caught.value.reason == reason


def test_a_dead_letter_without_its_headers() -> None:
    with pytest.raises(SchemaError, match="dead letter headers"):
        decode_dead([("dead.stage", b"worker")])


# --- identities


def test_identities_are_uuids_and_fixed_for_all_time() -> None:
    """Changing one of these would double every sighting that is replayed across the change."""
    assert ids.sighting_id("cam-1", 42, 0) == "931b4f4d-80e3-5ec5-a393-54045e179be4"
    assert ids.alert_id("stolen", "TEST001", "s") == "542743f6-726f-5de6-b600-83735c389a40"
    assert ids.dead_id("worker", "fleet.frames", 0, 5) == "1cc69fff-8eb3-5d8c-ba72-27b00f63ccee"


def test_identities_differ_in_each_part() -> None:
    made = {
        ids.sighting_id("cam-1", 1, 11),
        ids.sighting_id("cam-11", 1, 1),
        ids.sighting_id("cam-1", 11, 1),
        ids.alert_id("a", "b", "c"),
        ids.alert_id("ab", "", "c"),
        ids.dead_id("worker", "t", 1, 2),
        ids.dead_id("worker", "t", 12, 0),
    }
    assert len(made) == 7
    assert all(UUID(one).version == 5 for one in made)


# --- topics


def test_topics_are_whole() -> None:
    assert len({topic.name for topic in TOPICS}) == len(TOPICS)
    for topic in TOPICS:
        assert topic.name.startswith("fleet.")
        assert topic.producers
        assert topic.consumers
        assert topic.partitions >= 1
        config = topic.config()
        assert config["cleanup.policy"] in ("delete", "compact")
        assert (topic.retention_ms is None) == (topic.cleanup == "compact")
        assert config["retention.ms"] == ("-1" if topic.retention_ms is None else str(topic.retention_ms))


def test_a_dead_frame_fits_on_the_dead_topic_with_its_headers() -> None:
    assert topics.DEAD.max_message_bytes > FRAME_MAX_BYTES


# --- hotlist entries


@pytest.mark.parametrize(
    ("typed", "entry"),
    [
        ("ab 12-cd", "AB12CD"),
        ("A.B·C•1", "ABC1"),
        ("te?t*", "TE?T*"),
        ("*a**b***", "*A*B*"),
        ("A" + 20 * "*" + "B", "A*B"),
        ("1", "1"),
        (" x\t9\n", "X9"),
        ("A" * 16, "A" * 16),
    ],
)
def test_entries_are_normalised(typed: str, entry: str) -> None:
    assert normalise_entry(typed) == entry
    assert normalise_entry(entry) == entry


@pytest.mark.parametrize("typed", ["", " ", "*", "?*", "A" * 17, "ÄÖ1", "A_B", "AB;DROP", "Ａ1", "AB\0"])
def test_entries_that_are_none(typed: str) -> None:
    with pytest.raises(ValueError, match="hotlist entry"):
        normalise_entry(typed)


def test_what_is_a_pattern() -> None:
    assert [entry(entry=text).is_pattern for text in ("TEST001", "TE?T", "T*")] == [False, True, True]
    assert entry().key == "stolen/TEST001"
