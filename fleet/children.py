"""Child processes that never outlive this one. In: a command line. Out: a running process group, its log, its end.

A child leads a session of its own, so that Ctrl-C in the terminal reaches only this process, which then stops
its children in order. The kernel kills the child when this process dies in any way: the death signal is bound to
the *thread* that forked, hence each child has a thread that starts it and then waits for its end.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

_SETPRIV = shutil.which("setpriv")
"""util-linux, essential on Debian and Ubuntu; without it a child may outlive a parent that was killed by force."""


class ChildError(Exception):
    """A child process could not be started; the text says which, why and what to do."""


class Child:
    """One child process with all that it starts in turn.

    Args:
        name: for messages.
        command: program and arguments.
        log: file that standard output and error are appended to.
        env: the whole environment of the child; None: this process's.
        cwd: working folder of the child.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.name = name
        self.log = log
        self._command = list(command)
        self._env = None if env is None else dict(env)
        self._cwd = cwd
        self._process: subprocess.Popen[bytes] | None = None
        self._error: OSError | None = None
        self._begun = threading.Event()
        self._ended = threading.Event()

    def start(self) -> "Child":
        """Start the process and return once it exists.

        Raises:
            ChildError: the program is not there, or its log cannot be written.
        """
        threading.Thread(target=self._live, name=f"child-{self.name}", daemon=True).start()
        self._begun.wait()
        if self._error is not None:
            raise ChildError(f"cannot start {self.name}: {self._error.strerror}: {self._error.filename}")
        return self

    def _live(self) -> None:
        prefix = [_SETPRIV, "--pdeathsig", "KILL"] if _SETPRIV else []
        try:
            with self.log.open("ab") as out:
                self._process = subprocess.Popen(
                    [*prefix, *self._command],
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=subprocess.STDOUT,
                    env=self._env,
                    cwd=self._cwd,
                    start_new_session=True,
                )
        except OSError as error:
            self._error = error
            self._ended.set()
            self._begun.set()
            return
        self._begun.set()
        self._process.wait()
        self._ended.set()

    @property
    def pid(self) -> int:
        """Process id, which is the process group's id too."""
        if self._process is None:
            raise ChildError(f"{self.name} was never started")
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """Exit code, minus the signal's number for a killed child, None while it runs."""
        return self._process.returncode if self._process is not None and self._ended.is_set() else None

    @property
    def alive(self) -> bool:
        """True from `start` until the process has ended."""
        return self._begun.is_set() and not self._ended.is_set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end; True when it came within `timeout` seconds."""
        return self._ended.wait(timeout)

    def signal(self, number: int) -> None:
        """Send a signal to the whole group; nothing happens when it is gone."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)

    def stop(self, grace: float = 5.0) -> None:
        """Ask to end (SIGTERM), and after `grace` seconds kill what is left of the group."""
        if self.alive:
            if self._process is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self._process.pid, signal.SIGTERM)
            self.wait(grace)
        self.signal(signal.SIGKILL)
        self._ended.wait(5.0)

    def tail(self, lines: int = 5) -> list[str]:
        """The last lines of the log, without empty ones."""
        with contextlib.suppress(OSError):
            text = self.log.read_bytes()[-16_384:].decode(errors="replace")
            return [line for line in text.splitlines() if line.strip()][-lines:]
        return []
