"""What runs on a data folder. In: the folder. Out: its lock, the addresses of a running `up`, and where to ask.

`up` holds `up.lock` as long as it lives and writes its addresses to `running.json`; the kernel drops the lock when
it dies in any way, so that stale addresses are never believed.
"""

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import IO
from urllib.parse import quote

import msgspec

from fleet.errors import CommandError
from fleet.settings import Settings

_LOCK = "up.lock"
_FILE = "running.json"
STORE_FOLDER = "store"


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """Addresses of a running `up`."""

    pid: int
    brokers: str
    store_url: str
    """Without a password: an external store's address comes from the settings."""


class DataLock:
    """Holds a data folder for one `up`."""

    def __init__(self, data_dir: Path) -> None:
        """Raises:
        CommandError: another `up` has it, or it cannot be written.
        """
        self._data_dir = data_dir
        try:
            data_dir.mkdir(parents=True, exist_ok=True)
            self._file: IO[str] = (data_dir / _LOCK).open("a+")
        except OSError as error:
            raise CommandError(
                f"cannot use {data_dir} as the data folder: {(error.strerror or str(error)).lower()}; "
                "set PLATEFLEET_DATA_DIR to another"
            ) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.seek(0)
            owner = self._file.read().strip() or "unknown"
            self._file.close()
            raise CommandError(
                f"platefleet is already up on {data_dir} (process {owner}); stop it, or set PLATEFLEET_DATA_DIR"
            ) from error
        self._file.truncate(0)
        self._file.write(str(os.getpid()))
        self._file.flush()

    def tell(self, running: Running) -> None:
        """Write the addresses down for other commands."""
        fresh = self._data_dir / f".{_FILE}"
        fresh.write_bytes(msgspec.json.encode(running))
        fresh.replace(self._data_dir / _FILE)

    def release(self) -> None:
        """Give the folder free."""
        (self._data_dir / _FILE).unlink(missing_ok=True)
        self._file.close()


def find_running(data_dir: Path) -> Running | None:
    """The `up` that runs on this folder now, None when there is none."""
    try:
        with (data_dir / _LOCK).open("r") as lock:
            with suppress(OSError):
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
                return None
            return msgspec.json.decode((data_dir / _FILE).read_bytes(), type=Running)
    except (OSError, msgspec.DecodeError):
        return None


def find_brokers(settings: Settings) -> str:
    """Address of the Kafka to talk to.

    Raises:
        CommandError: none is set and none runs here.
    """
    if settings.brokers:
        return settings.brokers
    running = find_running(settings.data_dir)
    if running is None:
        raise CommandError(
            f"no Kafka is known: nothing runs on {settings.data_dir}; start `platefleet up`, or set PLATEFLEET_BROKERS"
        )
    return running.brokers


def find_store(settings: Settings) -> str:
    """Address of the store to ask: the one that is set, the one that runs, or the folder itself.

    Raises:
        CommandError: there is none, nor a folder from an earlier run.
    """
    if settings.store_url:
        return settings.store_url.get_secret_value()
    running = find_running(settings.data_dir)
    if running is not None and running.store_url:
        return with_login(settings, running.store_url)
    folder = settings.data_dir / STORE_FOLDER
    if not folder.is_dir():
        raise CommandError(
            f"nothing is stored in {settings.data_dir} yet; run `platefleet up` first, "
            "or set PLATEFLEET_DATA_DIR or PLATEFLEET_STORE_URL"
        )
    return f"chdb://{folder}"


def with_login(settings: Settings, url: str) -> str:
    """The embedded store's address with user and password, where the settings have a password."""
    if settings.store_password is None or not url.startswith("http://") or settings.store_url:
        return url
    user, password = quote(settings.store_user, safe=""), quote(settings.store_password.get_secret_value(), safe="")
    return f"http://{user}:{password}@{url.removeprefix('http://')}"
