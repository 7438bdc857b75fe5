"""The store's owner as a process of its own, so that a test can kill it."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class OwnerProcess:
    """`python -m store.owner` on a folder; after a kill, `start` comes back on the same port."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder = folder
        self.port = 0
        self._arguments = arguments
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        """Address for `store.open_store`."""
        return f"http://127.0.0.1:{self.port}/"

    def start(self) -> None:
        """Start and wait until it answers."""
        command = [sys.executable, "-m", "store.owner", str(self.folder), "--port", str(self.port), *self._arguments]
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        said = self._process.stdout.readline().split()
        assert said[:1] == ["ready"], said
        self.port = int(said[1])

    def kill(self) -> None:
        """kill -9 and wait."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> int:
        """SIGTERM and wait; the exit status."""
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(20)
