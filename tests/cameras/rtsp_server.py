"""A small RTSP 1.0 server for tests: one H.264 film over TCP, interleaved as RFC 2326 10.12 and RFC 6184 want it."""

import base64
import socket
import struct
import threading
from pathlib import Path

import av
from av.bitstream import BitStreamFilterContext

from cameras.sources.annexb import PPS, SPS, units

_MTU = 1200


class RtspServer:
    """Serves `path` to each client from its start, `pictures` of them per connection, then breaks off.

    Use as a context; `address` is what a client opens.
    """

    def __init__(self, path: Path, *, pictures: int | None = None, credentials: str = "", fps: int = 10) -> None:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            annexb = BitStreamFilterContext("h264_mp4toannexb", stream)
            packets = [bytes(out) for packet in container.demux(stream) if packet.size for out in annexb.filter(packet)]
        self._pictures = packets[:pictures]
        self._ticks = 90_000 // fps
        sets = [packets[0][start:end] for kind, start, end in units(packets[0]) if kind in (SPS, PPS)]
        self._sprop = ",".join(base64.b64encode(unit).decode() for unit in sets)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._port = self._socket.getsockname()[1]
        self._credentials = credentials
        self.address = f"rtsp://{credentials + '@' if credentials else ''}127.0.0.1:{self._port}/cam"
        self.plays = 0
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> "RtspServer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(5)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            with client:
                try:
                    self._talk(client)
                except OSError:
                    continue

    def _talk(self, client: socket.socket) -> None:
        reader = client.makefile("rb")
        while True:
            request = []
            while (line := reader.readline().decode().strip()) or not request:
                if not line:
                    return
                request.append(line)
            method = request[0].split()[0]
            fields = dict(line.split(": ", 1) for line in request[1:] if ": " in line)
            if method == "TEARDOWN":
                return
            self._answer(client, method, fields)
            if method == "PLAY":
                self.plays += 1
                self._play(client)
                return

    def _answer(self, client: socket.socket, method: str, fields: dict[str, str]) -> None:
        status, headers, body = "200 OK", [f"CSeq: {fields.get('CSeq', '0')}", "Session: 1"], ""
        wanted = "Basic " + base64.b64encode(self._credentials.encode()).decode()
        if self._credentials and method != "OPTIONS" and fields.get("Authorization") != wanted:
            status, headers = "401 Unauthorized", [headers[0], 'WWW-Authenticate: Basic realm="cam"']
        elif method == "OPTIONS":
            headers.append("Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN")
        elif method == "DESCRIBE":
            body = (
                "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=cam\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n"
                "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"
                f"a=fmtp:96 packetization-mode=1;sprop-parameter-sets={self._sprop}\r\na=control:track1\r\n"
            )
            headers += ["Content-Type: application/sdp", f"Content-Length: {len(body)}"]
        elif method == "SETUP":
            headers.append("Transport: RTP/AVP/TCP;unicast;interleaved=0-1")
        client.sendall("\r\n".join([f"RTSP/1.0 {status}", *headers, "", body]).encode())

    def _play(self, client: socket.socket) -> None:
        number = 0
        for place, picture in enumerate(self._pictures):
            # as many cameras do: parameter sets in the description only
            found = [picture[start:end] for kind, start, end in units(picture) if kind not in (SPS, PPS)]
            parts = [part for unit in found for part in _fragments(unit)]
            for part in parts:
                last = part is parts[-1]
                head = struct.pack(">BBHII", 0x80, 96 | (0x80 if last else 0), number & 0xFFFF, place * self._ticks, 7)
                client.sendall(b"$\0" + struct.pack(">H", len(head) + len(part)) + head + part)
                number += 1


def _fragments(unit: bytes) -> list[bytes]:
    """A NAL unit as RTP payloads: alone, or in FU-A pieces."""
    if len(unit) <= _MTU:
        return [unit]
    head, body = unit[0], unit[1:]
    pieces = [body[start : start + _MTU] for start in range(0, len(body), _MTU)]
    return [
        bytes([head & 0xE0 | 28, head & 0x1F | (0x80 if n == 0 else 0) | (0x40 if n == len(pieces) - 1 else 0)]) + piece
        for n, piece in enumerate(pieces)
    ]
