"""`python -m streams SETTINGS`: one streams process, its StreamSettings given as a JSON object."""

import sys

import msgspec

from plumbing.bus import BusError
from plumbing.logs import setup_logs
from streams.app import StreamsCrashed, run
from streams.settings import StreamSettings


def main(arguments: list[str]) -> int:
    """Run until a signal comes. 0: ended by it, 1: crashed or could not start, 2: bad settings."""
    if len(arguments) != 1:
        print('usage: python -m streams \'{"brokers": "...", ...}\'', file=sys.stderr)
        return 2
    try:
        settings = msgspec.json.decode(arguments[0], type=StreamSettings, dec_hook=lambda kind, value: kind(value))
    except (msgspec.MsgspecError, ValueError) as error:
        print(f"streams: bad settings: {error}", file=sys.stderr)
        return 2
    setup_logs("streams")
    try:
        run(settings, on_ready=lambda: print("ready", flush=True))
    except (BusError, StreamsCrashed) as error:
        print(f"streams: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
