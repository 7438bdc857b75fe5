"""HTTP content encodings both ways: gzip, deflate, lz4, zstd and br, streaming.

Comes in: plain chunks and the name of an encoding, or a compressed file. Goes out: the other one.
"""

import gzip
import io
import zlib
from collections.abc import Iterator, Sequence
from typing import IO, Protocol

import pyarrow as pa

ENCODINGS = ("gzip", "deflate", "zstd", "lz4", "br")
_ARROW = {"zstd": "zstd", "lz4": "lz4", "br": "brotli"}
_LEVEL = 3
_PROBE = 1 << 16
_WORTH = 0.8


class Compressor(Protocol):
    """Plain chunks in, compressed chunks out; `finish` gives the rest."""

    def feed(self, data: bytes) -> bytes:
        """What can be sent after `data`, perhaps nothing yet."""

    def finish(self) -> bytes:
        """The rest."""


class _Zlib:
    def __init__(self, bits: int) -> None:
        self._inner = zlib.compressobj(_LEVEL, zlib.DEFLATED, bits)

    def feed(self, data: bytes) -> bytes:
        return self._inner.compress(data)

    def finish(self) -> bytes:
        return self._inner.flush()


class _Arrow:
    def __init__(self, codec: str) -> None:
        self._sink = _Collector()
        self._stream = pa.CompressedOutputStream(pa.PythonFile(self._sink, "w"), codec)

    def feed(self, data: bytes) -> bytes:
        self._stream.write(data)
        return self._sink.take()

    def finish(self) -> bytes:
        self._stream.close()
        return self._sink.take()


class _Collector(io.RawIOBase):
    """A file that keeps what was written until it is taken."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        part = bytes(memoryview(data))  # type: ignore[arg-type]
        self._parts.append(part)
        return len(part)

    def take(self) -> bytes:
        data = b"".join(self._parts)
        self._parts.clear()
        return data

    def close(self) -> None:
        """Stay open: what the compressor writes while it closes is still to be taken."""


def shrunk(pieces: Sequence[bytes]) -> bytes | None:
    """`pieces` as one zstd frame; None where that saves less than a fifth, as with pictures.

    Rows shrink to a third or a quarter in 0.2 to 0.7 us each (measured, level 1).
    """
    if not pieces:
        return None
    codec = pa.Codec("zstd", 1)
    # the largest column tells: a block of crops is nearly all pictures
    probe = max(pieces, key=len)[:_PROBE]
    if len(codec.compress(probe, asbytes=True)) > _WORTH * len(probe):
        return None
    data: bytes = codec.compress(b"".join(pieces), asbytes=True)
    return data


def compressor(encoding: str) -> Compressor:
    """A compressor for one of ENCODINGS."""
    if encoding == "gzip":
        return _Zlib(31)
    if encoding == "deflate":
        return _Zlib(15)
    return _Arrow(_ARROW[encoding])


def choose(accept: str) -> str | None:
    """The first encoding of an Accept-Encoding header that we can give, None: send it plain."""
    for part in accept.split(","):
        name, _, quality = part.strip().partition(";")
        if name.strip().lower() in ENCODINGS and quality.replace(" ", "") not in ("q=0", "q=0.0"):
            return name.strip().lower()
    return None


def chunks(body: IO[bytes], encoding: str, size: int = 1 << 20) -> Iterator[bytes]:
    """The plain content of a file in chunks of about `size` bytes; empty `encoding`: as it is.

    Raises:
        ValueError: an encoding that is not known, or content that is not of it or is cut off.
    """
    stream = _reader(body, encoding.strip().lower())
    while True:
        try:
            data = stream.read(size)
        except (OSError, EOFError, zlib.error, pa.ArrowException) as error:
            raise ValueError(f"cannot decompress the {encoding} content: {error}") from None
        if not data:
            return
        yield data


def _reader(body: IO[bytes], encoding: str) -> IO[bytes]:
    if encoding in ("", "identity"):
        return body
    if encoding in ("gzip", "x-gzip"):
        return gzip.GzipFile(fileobj=body, mode="rb")  # type: ignore[return-value]
    if encoding == "deflate":
        return _Inflate(body)  # type: ignore[return-value]
    if encoding in _ARROW:
        return pa.CompressedInputStream(pa.PythonFile(body, "r"), _ARROW[encoding])  # type: ignore[no-any-return]
    raise ValueError(f"Unknown compression method {encoding!r}: known are {', '.join(ENCODINGS)}")


class _Inflate:
    """`deflate` is zlib by the standard and raw deflate by some clients: the first byte tells."""

    def __init__(self, body: IO[bytes]) -> None:
        self._body = body
        first = body.read(1)
        self._pending = first
        self._inner = zlib.decompressobj(15 if first[:1] == b"\x78" else -15)

    def read(self, size: int) -> bytes:
        while not self._inner.eof:
            data = self._pending or self._body.read(size)
            self._pending = b""
            if not data:
                raise EOFError("the content is cut off")
            plain = self._inner.decompress(data)
            if plain:
                return plain
        return b""
