"""Messages to rows: pure, idempotent, and every impossible value has its stated outcome."""

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import T0, alert, camera, dead, frame_reads, plate_read, sighting

from schemas.codec import SchemaError, encode_reads
from schemas.read import Candidate, CloseTracks
from schemas.sighting import TrailPoint
from store import Store, migrate, open_store, rows
from store.reads import decode_kept


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Any:
    opened = open_store(f"chdb://{tmp_path_factory.mktemp('rows')}/db")
    migrate(opened)
    yield opened
    opened.close()


def test_the_same_message_makes_the_same_row() -> None:
    assert rows.sighting_row(sighting()) == rows.sighting_row(sighting())
    assert rows.read_rows(frame_reads()) == rows.read_rows(frame_reads())
    assert rows.alert_row(alert()) == rows.alert_row(alert())


def test_every_row_goes_into_its_table_and_comes_back(store: Store) -> None:
    crop = rows.crop_row(sighting())
    assert crop is not None
    store.insert(rows.SIGHTINGS, [rows.sighting_row(sighting(), rows.Origin(2, 77))], token="s")
    store.insert(rows.CROPS, [crop], token="c")
    store.insert(rows.READS, rows.read_rows(frame_reads(reads=(plate_read(), plate_read(plate="")))), token="r")
    store.insert(rows.ALERTS, [rows.alert_row(alert())], token="a")
    store.insert(rows.CAMERA_STATES, [rows.camera_row(camera())], token="k")
    store.insert(rows.DEAD_LETTERS, [rows.dead_row(dead(), b"cam-1", b"x" * 9000)], token="d")

    seen = store.query("SELECT * FROM sightings")[0]
    assert (seen["plate"], seen["sighting_id"]) == ("TEST001", sighting().sighting_id)
    assert seen["candidates"] == [{"plate": "TEST001", "confidence": 0.875}, {"plate": "TE5T", "confidence": 0.125}]
    assert seen["trail"] == [{"at": sighting().opened_at, "lat": 52.5, "lon": 13.25}]
    assert (seen["first_seen"], seen["last_seen"]) == (sighting().first_seen, sighting().last_seen)
    assert seen["h3"] != 0
    assert store.query("SELECT origin_partition AS p, origin_offset AS o FROM sightings_raw") == [{"p": 2, "o": 77}]
    assert store.query("SELECT crop_jpeg FROM crops")[0]["crop_jpeg"] == sighting().evidence.crop_jpeg
    reads = store.query("SELECT plate, rank, box, captured_at FROM reads ORDER BY rank")
    assert [(read["plate"], read["rank"]) for read in reads] == [("TEST001", 0), ("", 1)]
    assert reads[0]["box"] == {"x": 9.0, "y": 20.0, "width": 102.0, "height": 30.0}
    assert reads[0]["captured_at"] == datetime(2026, 3, 1, 12, 0, 0, 123_000, tzinfo=UTC)
    assert store.query("SELECT alert_id, match, status FROM alerts") == [
        {"alert_id": alert().alert_id, "match": "exact", "status": "raised"}
    ]
    assert store.query("SELECT camera_id, frames, clock_skew_ms FROM cameras") == [
        {"camera_id": "cam-1", "frames": 41, "clock_skew_ms": -15}
    ]
    letter = store.query("SELECT message_key, payload_bytes, length(payload) AS kept, reason FROM dead_letters")[0]
    assert letter == {"message_key": "cam-1", "payload_bytes": 9000, "kept": 4096, "reason": "not_an_image"}


def test_a_frame_without_plates_makes_no_row() -> None:
    assert rows.read_rows(frame_reads(reads=())) == []


def test_withdrawn_is_a_deleting_row_without_a_crop() -> None:
    withdrawn = sighting(status="withdrawn", revision=2)
    assert rows.sighting_row(withdrawn)["is_deleted"] == 1
    assert rows.crop_row(withdrawn) is None


def test_a_withdrawal_comes_after_the_alert_of_its_revision() -> None:
    raised, withdrawn, again = (
        rows.alert_row(alert(revision=revision, status=status))["version"]
        for revision, status in ((2, "raised"), (2, "withdrawn"), (3, "raised"))
    )
    assert raised < withdrawn < again  # type: ignore[operator]


@pytest.mark.parametrize(
    ("changes", "column", "outcome"),
    [
        ({"confidence": math.nan}, "confidence", 0.0),
        ({"confidence": 7.0}, "confidence", 1.0),
        ({"lat": 91.0}, "lat", None),
        ({"lat": 91.0}, "lon", None),
        ({"lon": math.nan}, "lat", None),
        ({"lat": None}, "lon", None),
        ({"heading": -90.0}, "heading", 270.0),
        ({"heading": math.inf}, "heading", None),
        ({"speed": -1.0}, "speed", None),
        ({"speed": 1e9}, "speed", None),
        ({"plate": "A" * 10_000}, "plate", "A" * 32),
        ({"plate": "A\0B\ud800"}, "plate", "AB"),
        ({"opened_at": datetime(1970, 1, 1, tzinfo=UTC)}, "opened_at", rows.EARLIEST),
        ({"opened_at": datetime(9999, 1, 1, tzinfo=UTC)}, "opened_at", rows.LATEST),
        ({"opened_at": datetime(2026, 3, 1, 12, 0)}, "opened_at", T0),
        ({"frames": -1}, "frames", 0),
        ({"votes": 1 << 40}, "votes", (1 << 32) - 1),
        ({"trail": (TrailPoint(at=T0, lat=math.nan, lon=0.0),)}, "trail", []),
    ],
)
def test_what_cannot_be_true_has_a_stated_outcome(changes: dict[str, Any], column: str, outcome: object) -> None:
    assert rows.sighting_row(sighting(**changes))[column] == outcome


@pytest.mark.parametrize("text", ["", "7", "x" * 5000, "zz24a37b-9a5c-4b56-8f8c-1f3f9a3a7b11"])
def test_an_identity_that_is_no_uuid_is_a_bad_row(text: str) -> None:
    with pytest.raises(rows.BadRow, match=r"sighting_id: .* is no UUID"):
        rows.sighting_row(sighting(sighting_id=text))


def test_a_crop_that_is_too_large_is_left_out() -> None:
    message = sighting()
    large = sighting(
        evidence=type(message.evidence)(
            **{
                **{field: getattr(message.evidence, field) for field in message.evidence.__struct_fields__},
                "crop_jpeg": b"x" * (rows.MAX_CROP_BYTES + 1),
            }
        )
    )
    assert rows.crop_row(large) is None


ANY_FLOAT = st.one_of(st.none(), st.floats())
ANY_TIME = st.datetimes(timezones=st.just(UTC))


@settings(max_examples=60)
@given(
    plate=st.text(max_size=60),
    region=st.text(max_size=60),
    confidence=st.floats(),
    lat=ANY_FLOAT,
    lon=ANY_FLOAT,
    heading=ANY_FLOAT,
    speed=ANY_FLOAT,
    opened_at=ANY_TIME,
    first_seen=ANY_TIME,
    revision=st.integers(),
    candidates=st.lists(st.builds(Candidate, st.text(max_size=40), st.floats()), max_size=30).map(tuple),
    trail=st.lists(st.builds(TrailPoint, at=ANY_TIME, lat=st.floats(), lon=st.floats()), max_size=4).map(tuple),
)
def test_whatever_a_message_says_its_row_fits(store: Store, **changes: Any) -> None:
    changes["plate"] = changes["plate"] or "X"
    from store.native import encode

    row = rows.sighting_row(sighting(**changes))
    types = {str(one["name"]): str(one["type"]) for one in _described(store)}
    assert encode(rows.SIGHTINGS, [(name, types[name]) for name in row], [row])


_DESCRIBED: list[dict[str, object]] = []


def _described(store: Store) -> list[dict[str, object]]:
    if not _DESCRIBED:
        _DESCRIBED.extend(store.query(f"DESCRIBE TABLE {rows.SIGHTINGS}"))
    return _DESCRIBED


def test_hostile_times_of_one_block_go_in(store: Store) -> None:
    """Each in a month of its own: ClickHouse's own limit of 100 parts per block must not hold a partition up."""
    spread = [sighting(number, at=datetime(1971 + number, 5, 1, tzinfo=UTC)) for number in range(1, 200)]
    store.insert(rows.SIGHTINGS, [rows.sighting_row(one) for one in spread], token="hostile")
    assert store.query("SELECT count() AS n FROM sightings_raw WHERE plate LIKE 'TEST%'")[0]["n"] >= 199  # type: ignore[operator]


def test_time_differences_survive_to_the_millisecond(store: Store) -> None:
    at = T0 + timedelta(microseconds=1999)
    row = rows.sighting_row(sighting(500, at=at))
    store.insert(rows.SIGHTINGS, [row], token="ms")
    found = store.query("SELECT opened_at FROM sightings WHERE plate = 'TEST500'")
    assert found == [{"opened_at": T0 + timedelta(milliseconds=1)}]


def test_reads_that_are_decoded_in_part_give_the_same_rows() -> None:
    probabilities = ((("T", 0.9), ("7", 0.1)),) * 7
    whole = frame_reads(reads=(plate_read(char_probs=probabilities), plate_read(plate="", candidates=())), still=True)
    for message in (whole, frame_reads(reads=()), frame_reads(lat=None, speed=3.5, frame_index=4)):
        kept = decode_kept(encode_reads(message))
        assert kept is not None
        assert rows.read_rows(kept) == rows.read_rows(message)
    assert decode_kept(encode_reads(CloseTracks(camera_id="cam-1", seq=7, sent_at=1))) is None
    with pytest.raises(SchemaError, match=r"not a message of fleet\.reads"):
        decode_kept(b"\x93")
