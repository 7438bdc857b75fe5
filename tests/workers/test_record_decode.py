"""Records to pictures: what is right decodes, what is wrong has its reason."""

import math
import struct
from collections.abc import Callable
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.codec import encode_frame_header
from schemas.frame import FramePosition
from tests.workers.fakes import header_of, jpeg, number_of, picture
from workers.decode import BadFrameError, Picture, Place, clean_place, open_frame, pictures
from workers.settings import Limits

LIMITS = Limits(max_pixels=2_000_000, max_pictures=50)


def decode(value: bytes, **changes: Any) -> list[Picture]:
    header = header_of(value, "cam-1", 7, **changes)
    return list(pictures(open_frame(encode_frame_header(header), value, LIMITS), LIMITS))


def reason(value: bytes, **changes: Any) -> str:
    with pytest.raises(BadFrameError) as caught:
        decode(value, **changes)
    assert "\n" not in str(caught.value)
    assert caught.value.trace_id == "cam-1/7"
    return caught.value.reason


def outcome(do: Callable[[], object]) -> str:
    """The reason why it failed, empty when it did not."""
    try:
        do()
    except BadFrameError as error:
        return error.reason
    return ""


def group(numbers: range, width: int = 320, height: int = 192) -> bytes:
    """One H.264 group as Annex B."""
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
    encoder.framerate = 5
    encoder.options = {"preset": "veryfast", "crf": "18", "g": str(len(numbers))}
    packets = []
    for number in numbers:
        packets += encoder.encode(av.VideoFrame.from_ndarray(picture(number, width, height), "bgr24"))
    return b"".join(bytes(packet) for packet in packets + encoder.encode(None))


def with_size(value: bytes, width: int, height: int) -> bytes:
    """A JPEG whose frame header claims another size."""
    start = value.index(b"\xff\xc0")
    return value[: start + 5] + struct.pack(">HH", height, width) + value[start + 9 :]


def test_a_jpeg_is_one_picture() -> None:
    (one,) = decode(jpeg(513))
    assert (one.seq, one.index, one.captured_at) == (7, 0, 1_700_000_001_400)
    assert one.place == Place(48.1, 11.5, 90.0, 13.9)
    assert (one.image.shape, one.image.dtype, number_of(one.image)) == ((192, 320, 3), np.uint8, 513)


@pytest.mark.parametrize("keep", [0.02, 0.2, 0.5, 0.95, 0.999])
def test_a_cut_jpeg_is_truncated(keep: float) -> None:
    whole = jpeg(1)
    assert reason(whole[: int(len(whole) * keep)]) == "truncated"


def test_text_is_not_an_image() -> None:
    assert reason(b"GET / HTTP/1.1\r\n" * 20) == "not_an_image"


def test_nothing_is_not_an_image() -> None:
    assert reason(b"") == "not_an_image"


def test_size_is_limited_by_the_header() -> None:
    assert reason(jpeg(1), width=30_000, height=30_000) == "too_large"


@pytest.mark.parametrize("side", [2_000, 30_000, 65_535])
def test_size_is_limited_by_what_the_picture_says_of_itself(side: int) -> None:
    assert reason(with_size(jpeg(1), side, side)) == "too_large"


def test_a_wrong_digest() -> None:
    assert reason(jpeg(1), sha256="0" * 64) == "wrong_sha256"


def test_noise_in_the_middle_decodes_or_has_a_reason() -> None:
    value = bytearray(jpeg(1))
    value[200:260] = bytes(range(60))
    assert outcome(lambda: decode(bytes(value))) in ("", "undecodable", "truncated")


@pytest.mark.parametrize(
    "changes",
    [
        {"camera_id": ""},
        {"camera_id": "c" * 300},
        {"seq": -1},
        {"seq": 1 << 70},
        {"captured_at": -5},
        {"captured_at": 1 << 62},
        {"width": 0},
        {"frames": 0},
        {"frames": 3},
        {"positions": (FramePosition(dt_ms=0),)},
        {"codec": "h264", "frames": 2, "positions": (FramePosition(dt_ms=0),)},
    ],
)
def test_headers_that_cannot_be(changes: dict[str, Any]) -> None:
    value = jpeg(1)
    header = header_of(value, **({"camera_id": "cam-1", "seq": 7} | changes))
    with pytest.raises(BadFrameError) as caught:
        open_frame(encode_frame_header(header), value, LIMITS)
    assert caught.value.reason == "bad_header"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("schema", b"2"), "unknown_schema"),
        (("schema", b"one"), "unknown_schema"),
        (("width", b"wide"), "bad_header"),
        (("codec", b"mpeg"), "bad_header"),
        (("camera_id", b"\xff\xfe"), "bad_header"),
        (("positions", b"[{"), "bad_header"),
        (("lat", b"1e999"), "bad_header"),
    ],
)
def test_raw_headers_that_cannot_be(change: tuple[str, bytes], expected: str) -> None:
    value = jpeg(1)
    headers = dict(encode_frame_header(header_of(value, "cam-1", 7))) | dict([change])
    with pytest.raises(BadFrameError) as caught:
        open_frame(list(headers.items()), value, LIMITS)
    assert caught.value.reason == expected


def test_no_headers_at_all() -> None:
    with pytest.raises(BadFrameError) as caught:
        open_frame([], jpeg(1), LIMITS)
    assert (caught.value.reason, caught.value.trace_id) == ("bad_header", None)


def test_a_group_is_its_pictures_with_their_own_times_and_places() -> None:
    value = group(range(10, 16))
    positions = tuple(FramePosition(dt_ms=200 * n, lat=48.0 + n / 1000, lon=11.0) for n in range(6))
    found = decode(value, codec="h264", frames=6, positions=positions)
    assert [number_of(one.image) for one in found] == list(range(10, 16))
    assert [one.seq for one in found] == list(range(7, 13))
    assert [one.captured_at - found[0].captured_at for one in found] == [0, 200, 400, 600, 800, 1000]
    assert [one.place.lat for one in found] == pytest.approx([48.0, 48.001, 48.002, 48.003, 48.004, 48.005])


def test_a_group_without_positions_has_its_own() -> None:
    found = decode(group(range(3)), codec="h264", frames=3)
    assert [one.place for one in found] == [Place(48.1, 11.5, 90.0, 13.9)] * 3


@pytest.mark.parametrize("frames", [5, 7])
def test_a_group_that_holds_another_number_of_pictures(frames: int) -> None:
    assert reason(group(range(6)), codec="h264", frames=frames) == "bad_video"


def test_a_broken_group() -> None:
    value = group(range(6))
    assert reason(value[: len(value) // 3], codec="h264", frames=6) == "bad_video"
    assert reason(b"\x00\x00\x00\x01" + bytes(range(256)) * 4, codec="h264", frames=6) == "bad_video"


def test_a_group_of_large_pictures() -> None:
    value = group(range(2), 2048, 1088)
    assert reason(value, codec="h264", frames=2, width=320, height=192) in ("bad_video", "too_large")


def test_a_group_that_is_too_long() -> None:
    assert reason(group(range(2)), codec="h264", frames=51) == "too_large"


@pytest.mark.parametrize(
    ("given_place", "expected"),
    [
        ((48.0, 11.0, 0.0, 0.0), (Place(48.0, 11.0, 0.0, 0.0), 0)),
        ((None, None, None, None), (Place(), 0)),
        ((91.0, 11.0, None, None), (Place(), 1)),
        ((48.0, 181.0, 10.0, 5.0), (Place(None, None, 10.0, 5.0), 1)),
        ((math.nan, 11.0, None, None), (Place(), 1)),
        ((48.0, None, None, None), (Place(), 1)),
        ((48.0, 11.0, 360.0, 5.0), (Place(48.0, 11.0, 0.0, 5.0), 0)),
        ((48.0, 11.0, -10.0, 5.0), (Place(48.0, 11.0, None, 5.0), 1)),
        ((48.0, 11.0, math.nan, math.nan), (Place(48.0, 11.0), 1)),
        ((48.0, 11.0, 5.0, -1.0), (Place(48.0, 11.0, 5.0, None), 1)),
        ((48.0, 11.0, 5.0, math.inf), (Place(48.0, 11.0, 5.0, None), 1)),
    ],
)
def test_places(given_place: tuple[Any, ...], expected: tuple[Place, int]) -> None:
    assert clean_place(*given_place) == expected


@given(st.binary(max_size=400), st.sampled_from(["jpeg", "h264"]))
def test_any_bytes_decode_or_have_a_reason(value: bytes, codec: str) -> None:
    known = ("", "not_an_image", "truncated", "too_large", "undecodable", "bad_video")
    assert outcome(lambda: decode(value, codec=codec)) in known


@given(st.lists(st.tuples(st.sampled_from(["schema", "seq", "lat", "positions", "codec"]), st.binary(max_size=12))))
def test_any_headers_decode_or_have_a_reason(changes: list[tuple[str, bytes]]) -> None:
    value = jpeg(1)
    headers = dict(encode_frame_header(header_of(value, "cam-1", 7))) | dict(changes)
    found = outcome(lambda: open_frame(list(headers.items()), value, LIMITS))
    assert found in ("", "bad_header", "unknown_schema", "too_large")
