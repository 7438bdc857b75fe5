"""Pictures to JPEG: only for what is not compressed in a form that may travel, and for JPEGs that are too large."""

import cv2
import numpy as np
from numpy.typing import NDArray

QUALITY = 95

# Annex K.3 of ITU-T T.81: the tables that a motion JPEG stream may leave out, and a JPEG file may not.
_BITS = {
    0x00: "00010501010101010100000000000000",
    0x01: "00030101010101010101010000000000",
    0x10: "0002010303020403050504040000017d",
    0x11: "00020102040403040705040400010277",
}
_DC = "000102030405060708090a0b"
_AC = {
    0x10: (
        "01020300041105122131410613516107227114328191a1082342b1c11552d1f02433627282090a161718191a25262728292a3435"
        "363738393a434445464748494a535455565758595a636465666768696a737475767778797a838485868788898a92939495969798"
        "999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae1e2e3e4e5e6e7e8e9eaf1f2f3f4"
        "f5f6f7f8f9fa"
    ),
    0x11: (
        "000102031104052131061241510761711322328108144291a1b1c109233352f0156272d10a162434e125f11718191a262728292a"
        "35363738393a434445464748494a535455565758595a636465666768696a737475767778797a82838485868788898a9293949596"
        "9798999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae2e3e4e5e6e7e8e9eaf2f3f4"
        "f5f6f7f8f9fa"
    ),
}


def _standard_tables() -> bytes:
    body = b"".join(
        bytes([table]) + bytes.fromhex(_BITS[table]) + bytes.fromhex(_AC.get(table, _DC)) for table in _BITS
    )
    return b"\xff\xc4" + (len(body) + 2).to_bytes(2, "big") + body


_DHT = _standard_tables()


def encode_jpeg(image: NDArray[np.uint8], quality: int = QUALITY) -> bytes:
    """Height x width x 3 BGR, 0..255, to JPEG bytes.

    Raises:
        ValueError: when the picture cannot be encoded (empty, or a side over 65,500 pixels).
    """
    try:
        done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    except cv2.error as error:
        raise ValueError(f"cannot be encoded as JPEG: {error.err}") from error
    if not done:
        raise ValueError("cannot be encoded as JPEG")
    return data.tobytes()


def encode_within(image: NDArray[np.uint8], max_bytes: int) -> bytes:
    """The best JPEG of at most `max_bytes`: first the quality is lowered, then the size.

    Raises:
        ValueError: when the picture cannot be encoded.
    """
    while True:
        for quality in (QUALITY, 90, 80, 70):
            data = encode_jpeg(image, quality)
            if len(data) <= max_bytes:
                return data
        image = np.asarray(cv2.resize(image, None, fx=0.75, fy=0.75, interpolation=cv2.INTER_AREA), np.uint8)


def jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Width and height as the frame header has them; None when `data` does not begin like a JPEG."""
    start = _frame_start(data)
    if start is None or start + 9 > len(data):
        return None
    height, width = (
        int.from_bytes(data[start + 5 : start + 7], "big"),
        int.from_bytes(data[start + 7 : start + 9], "big"),
    )
    return (width, height) if width and height else None


def _segments(data: bytes) -> list[tuple[int, int]]:
    """(marker, place) of the segments before the first scan, the scan's own included; [] when not a JPEG."""
    if data[:2] != b"\xff\xd8":
        return []
    found = []
    place = 2
    while place + 4 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker == 0xFF:
            place += 1
            continue
        found.append((marker, place))
        if marker == 0xDA:
            break
        if marker in (0x01, *range(0xD0, 0xD8)):
            place += 2
            continue
        place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    return found


def _frame_start(data: bytes) -> int | None:
    frame_markers = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
    return next((place for marker, place in _segments(data) if marker in frame_markers), None)


def complete_jpeg(data: bytes) -> bytes:
    """A picture of a motion JPEG stream as a JPEG file: with Huffman tables, without what follows its end.

    The compressed picture itself is not touched; a JPEG that is complete comes back as it is.
    """
    segments = _segments(data)
    scan = next((place for marker, place in segments if marker == 0xDA), None)
    if scan is not None and all(marker != 0xC4 for marker, _ in segments):
        data = data[:scan] + _DHT + data[scan:]
    end = data.rfind(b"\xff\xd9")
    return data[: end + 2] if end > 0 and not data[end + 2 :].strip(b"\0") else data
