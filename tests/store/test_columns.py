"""Blocks held by column: the same rows as one by one, whatever the messages say, and as Native without the driver."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import frame_reads, plate_read, sighting

from schemas.read import Candidate
from schemas.sighting import TrailPoint
from store import Store, migrate, native, open_store, rows
from store.columns import Columns, check_rows, join_columns
from store.interface import Row, StoreRejected
from store.packing import pack

ANY_FLOAT = st.floats()
MAYBE = st.none() | ANY_FLOAT
ANY_TIME = st.datetimes(timezones=st.just(UTC)) | st.datetimes()
ANY_TEXT = st.text(max_size=150)
CANDIDATES = st.lists(st.builds(Candidate, st.text(max_size=40), ANY_FLOAT), max_size=25).map(tuple)
CORNERS = st.tuples(*[st.tuples(ANY_FLOAT, ANY_FLOAT)] * 4)
CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "plate": ANY_TEXT,
        "camera_id": ANY_TEXT,
        "status": st.sampled_from(["provisional", "final", "withdrawn"]),
        "confidence": ANY_FLOAT,
        "lat": MAYBE,
        "lon": MAYBE,
        "heading": MAYBE,
        "speed": MAYBE,
        "opened_at": ANY_TIME,
        "last_seen": ANY_TIME,
        "revision": st.integers(),
        "votes": st.integers(-5, 1 << 33),
        "candidates": CANDIDATES,
        "former_plates": st.lists(ANY_TEXT, max_size=25).map(tuple),
        "trail": st.lists(st.builds(TrailPoint, at=ANY_TIME, lat=ANY_FLOAT, lon=ANY_FLOAT), max_size=4).map(tuple),
        "sighting_id": st.uuids().map(str) | st.uuids().map(lambda one: one.hex),
    },
)
EVIDENCE = st.fixed_dictionaries(
    {},
    optional={
        "seq": st.integers(),
        "offset": st.integers(),
        "corners": CORNERS,
        "crop_jpeg": st.binary(max_size=300),
        "crop_sha256": ANY_TEXT,
    },
)
READ = st.fixed_dictionaries(
    {},
    optional={"plate": ANY_TEXT, "candidates": CANDIDATES, "box": st.tuples(*[ANY_FLOAT] * 4), "corners": CORNERS},
)
FRAME = st.fixed_dictionaries(
    {},
    optional={"captured_at": st.integers(), "seq": st.integers(), "luma": ANY_FLOAT, "still": st.booleans()},
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Any:
    opened = open_store(f"chdb://{tmp_path_factory.mktemp('columns')}/db")
    migrate(opened)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def types(store: Store) -> dict[str, dict[str, str]]:
    return {
        table: {str(one["name"]): str(one["type"]) for one in store.query(f"DESCRIBE TABLE {table}")}
        for table in (rows.SIGHTINGS, rows.CROPS, rows.READS)
    }


def through(types: dict[str, str], block: Sequence[Row]) -> list[dict[str, object]]:
    """The rows as they come out of Native again, names in one order."""
    wanted = [(name, types[name]) for name in sorted(block[0])]
    return native.decode(b"".join(native.encode("t", wanted, block)))


@settings(max_examples=60)
@given(said=st.lists(st.tuples(CHANGES, EVIDENCE), min_size=1, max_size=4))
def test_sightings_and_crops_by_column_are_those_row_by_row(types: dict[str, dict[str, str]], said: Any) -> None:
    messages = []
    for number, (changes, evidence) in enumerate(said):
        message = sighting(number, **changes)
        messages.append(
            msgspec.structs.replace(message, evidence=msgspec.structs.replace(message.evidence, **evidence))
        )
    origins = [rows.Origin(3, 1 << number) for number in range(len(messages))]
    block = rows.sighting_columns(messages, origins)
    alone = [rows.sighting_row(message, origin) for message, origin in zip(messages, origins, strict=True)]
    assert through(types[rows.SIGHTINGS], block) == through(types[rows.SIGHTINGS], alone)
    assert through(types[rows.SIGHTINGS], list(block)) == through(types[rows.SIGHTINGS], alone)
    parts = [rows.sighting_columns([message], [origin]) for message, origin in zip(messages, origins, strict=True)]
    assert through(types[rows.SIGHTINGS], join_columns(parts)) == through(types[rows.SIGHTINGS], alone)
    pictured = [message for message in messages if rows.has_crop(message)]
    crops = [row for message in messages if (row := rows.crop_row(message)) is not None]
    assert len(pictured) == len(crops)
    if crops:
        assert through(types[rows.CROPS], rows.crop_columns(pictured)) == through(types[rows.CROPS], crops)


@settings(max_examples=60)
@given(said=st.lists(st.tuples(FRAME, st.lists(READ, max_size=3)), max_size=4))
def test_reads_by_column_are_those_row_by_row(types: dict[str, dict[str, str]], said: Any) -> None:
    messages = [frame_reads(**frame, reads=tuple(plate_read(**one) for one in reads)) for frame, reads in said]
    block = rows.read_columns(messages)
    alone = [row for message in messages for row in rows.read_rows(message)]
    assert len(block) == len(alone)
    if alone:
        assert through(types[rows.READS], block) == through(types[rows.READS], alone)
        parts = [rows.read_columns(messages[:1]), rows.read_columns(messages[1:])]
        assert through(types[rows.READS], join_columns(parts)) == through(types[rows.READS], alone)


def test_no_column_of_the_great_tables_needs_the_driver(types: dict[str, dict[str, str]]) -> None:
    messages = [sighting(1), sighting(2, plate="\u00c4" * 20, candidates=(), former_plates=("A1", "B" * 32), lat=None)]
    blocks = {
        rows.SIGHTINGS: rows.sighting_columns(messages, [rows.NOWHERE] * 2),
        rows.CROPS: rows.crop_columns(messages),
        rows.READS: rows.read_columns([frame_reads()]),
    }
    for table, block in blocks.items():
        assert [name for name, column in block.columns.items() if pack(types[table][name], column) is None] == []


def test_many_keys_and_long_texts(types: dict[str, dict[str, str]]) -> None:
    """Beyond one byte: the number of a low-cardinality column's keys, and the length of a text."""
    messages = [sighting(number, camera_id=f"cam-{number}", plate="A") for number in range(300)]
    long = msgspec.structs.replace(messages[7].evidence, crop_jpeg=bytes(70_000))
    messages[7] = msgspec.structs.replace(messages[7], evidence=long)
    found = through(types[rows.CROPS], rows.crop_columns(messages))
    assert [row["camera_id"] for row in found] == [f"cam-{number}" for number in range(300)]
    assert found == through(types[rows.CROPS], [rows.crop_row(message) or {} for message in messages])


def test_an_identity_that_is_no_uuid_is_a_bad_row() -> None:
    for text in ("x" * 36, sighting().sighting_id.replace("-", " "), "1" * 36, ""):
        with pytest.raises(rows.BadRow, match="is no UUID"):
            rows.sighting_columns([sighting(), sighting(2, sighting_id=text)], [rows.NOWHERE] * 2)


def test_a_block_is_cut_and_read_as_rows() -> None:
    trails = [tuple(TrailPoint(at=sighting(1).opened_at, lat=float(n), lon=0.0) for n in range(k)) for k in (2, 0, 3)]
    messages = [sighting(number, trail=trail) for number, trail in enumerate(trails)]
    block = rows.sighting_columns(messages, [rows.Origin(0, number) for number in range(3)])
    assert [row["origin_offset"] for row in block[1:]] == [1, 2]
    assert [[point[1] for point in row["trail"]] for row in block[1:]] == [[], [0.0, 1.0, 2.0]]  # type: ignore[union-attr,attr-defined]
    assert block[2]["origin_offset"] == block[-1]["origin_offset"] == 2
    assert len(block[3:]) == 0
    assert list(block[:0]) == []
    with pytest.raises(IndexError):
        block[3]


def test_a_block_goes_in_as_rows_do(store: Store) -> None:
    messages = [sighting(number, at=datetime(2026, 5, 1, tzinfo=UTC) + timedelta(hours=number)) for number in range(50)]
    block = rows.sighting_columns(messages, [rows.Origin(1, number) for number in range(50)])
    for _ in range(2):
        store.insert(rows.SIGHTINGS, block, token="columns")
    store.insert(rows.CROPS, rows.crop_columns(messages), token="columns")
    found = store.query(
        "SELECT count() AS n, uniqExact(plate) AS plates, max(origin_offset) AS last FROM sightings_raw"
    )
    assert found == [{"n": 50, "plates": 50, "last": 49}]
    assert store.query("SELECT DISTINCT crop_jpeg FROM crops") == [{"crop_jpeg": messages[0].evidence.crop_jpeg}]


def test_a_column_of_another_width_goes_by_value() -> None:
    block = rows.crop_columns([sighting(revision=1 << 20)])
    with pytest.raises(StoreRejected, match=r"t\.revision: 1048576 is no UInt8"):
        native.encode("t", [("revision", "UInt8")], block)
    wide = native.decode(b"".join(native.encode("t", [("revision", "UInt64")], block)))
    assert wide == [{"revision": 1 << 20}]


def test_too_many_rows_for_one_block() -> None:
    with pytest.raises(StoreRejected, match="1000001 rows"):
        check_rows("t", Columns({"a": [0] * 1_000_001}))
