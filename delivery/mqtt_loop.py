"""Keeps an MQTT client's connection alive on a thread of its own, in a process with any number of open files.

In: a connected paho client. Out: its callbacks, and its acknowledgements, until it is disconnected or asked to end.

paho's own `loop_start` waits with select(), which takes no descriptor above 1,023 and drops the connection for it: in a
process that holds a store, no message would ever arrive.
"""

import select
import ssl
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from paho.mqtt.client import Client

_TURN_MS = 100
"""A waiting acknowledgement or a wish to write is seen at the latest so long after; reads are seen at once."""


class MqttLoop:
    """Reads and writes for a client from the first moment on; it never connects again by itself."""

    def __init__(self, client: "Client") -> None:
        self._client = client
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mqtt", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._end.is_set() and (connection := self._client.socket()) is not None:
            descriptor = connection.fileno()
            if descriptor < 0:
                return
            waiting = select.poll()
            waiting.register(descriptor, select.POLLIN | (select.POLLOUT if self._client.want_write() else 0))
            decrypted = isinstance(connection, ssl.SSLSocket) and connection.pending() > 0
            events = dict(waiting.poll(0 if decrypted else _TURN_MS)).get(descriptor, 0)
            if decrypted or events & ~select.POLLOUT:
                # an error or a hang-up is found by reading, too
                self._client.loop_read()
            if events & select.POLLOUT:
                self._client.loop_write()
            self._client.loop_misc()

    def close(self) -> None:
        """Send what waits, disconnect, and end the thread."""
        self._client.disconnect()
        self._end.set()
        self._thread.join()
