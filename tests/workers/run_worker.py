"""A worker as a process of its own: `python -m tests.workers.run_worker BROKERS TAG READY_FILE`."""

import signal
import sys
import threading
from pathlib import Path

from tests.workers.rig import settings_for
from workers.service import run


def main() -> None:
    """Run until SIGTERM."""
    brokers, tag, ready = sys.argv[1:]
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    run(settings_for(brokers, tag), stop, lambda: Path(ready).touch())


if __name__ == "__main__":
    main()
