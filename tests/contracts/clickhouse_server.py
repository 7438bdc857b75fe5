"""A real ClickHouse server for the contract suite: Debian's own package, unpacked, never installed.

`python tests/contracts/clickhouse_server.py` puts it under `.cache/clickhouse-server` of the checkout (about 60 MB;
the tests do so themselves when it is not there). It needs apt, but no root: apt works in folders of its own.
Debian packages ClickHouse 18.16, older than what the product asks for (24.3): see the contract suite for what
is proved on it and what is not.
"""

import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

CACHE = Path(__file__).resolve().parents[2] / ".cache" / "clickhouse-server"
PASSWORD = "invented-for-tests"
_BASE = {"libc6", "libgcc-s1", "gcc-12-base", "libcrypt1", "debconf", "cdebconf", "adduser", "passwd", "dpkg", "tar"}

_CONFIG = """<?xml version="1.0"?>
<yandex>
  <logger><level>warning</level><log>{root}/server.log</log><errorlog>{root}/error.log</errorlog></logger>
  <tcp_port>{tcp}</tcp_port><http_port>{http}</http_port>
  <listen_host>127.0.0.1</listen_host>
  <path>{root}/data/</path><tmp_path>{root}/tmp/</tmp_path><user_files_path>{root}/files/</user_files_path>
  <mark_cache_size>67108864</mark_cache_size><timezone>UTC</timezone>
  <users_config>{root}/users.xml</users_config><default_profile>default</default_profile>
  <default_database>default</default_database>
</yandex>
"""
_USERS = """<?xml version="1.0"?>
<yandex>
  <profiles><default><allow_experimental_low_cardinality_type>1</allow_experimental_low_cardinality_type></default></profiles>
  <users><default><password>{password}</password><networks><ip>127.0.0.1</ip></networks>
    <profile>default</profile><quota>default</quota></default></users>
  <quotas><default/></quotas>
</yandex>
"""


class InstallError(RuntimeError):
    """The server cannot be fetched here; the text says why and what to do."""


def install(cache: Path = CACHE) -> Path:
    """Fetch and unpack the server once; the folder that holds it."""
    root = cache / "root"
    if (cache / "complete").exists():
        return root
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        raise InstallError(f"no apt on {platform.platform()}: the contract suite needs Debian's clickhouse-server")
    shutil.rmtree(cache, ignore_errors=True)
    packages = cache / "packages"
    for folder in (packages, root, cache / "apt" / "lists" / "partial", cache / "apt" / "archives" / "partial"):
        folder.mkdir(parents=True)
    options = _apt_options(cache / "apt")
    names = _closure(options)
    if not names:
        _apt(["apt-get", *options, "update", "-qq"], packages)
        names = _closure(options)
    if not names:
        raise InstallError("apt knows no package clickhouse-server: add Debian's main or Ubuntu's universe section")
    _apt(["apt-get", *options, "download", "-qq", *names], packages)
    for package in sorted(packages.glob("*.deb")):
        subprocess.run(["dpkg", "-x", str(package), str(root)], check=True)
    shutil.rmtree(packages)
    shutil.rmtree(cache / "apt")
    (cache / "complete").touch()
    return root


def _apt_options(folder: Path) -> list[str]:
    """Folders of our own for lists and caches; the machine's lists serve when they are there."""
    system = Path("/var/lib/apt/lists")
    own = ["-o", f"Dir::Cache={folder}", "-o", "APT::Sandbox::User="]
    known = any(system.glob("*_Packages*"))
    return own if known else [*own, "-o", f"Dir::State::lists={folder / 'lists'}"]


def _closure(options: list[str]) -> list[str]:
    flags = ["--recurse", "--no-recommends", "--no-suggests", "--no-conflicts", "--no-breaks", "--no-replaces"]
    command = ["apt-cache", *options, "depends", *flags, "--no-enhances", "clickhouse-server"]
    found = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    names = {line.strip() for line in found.splitlines() if line and line[0] not in " <|"}
    architecture = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True).stdout
    names = {name.removesuffix(f":{architecture.strip()}") for name in names}
    return sorted(name for name in names if ":" not in name and name not in _BASE and "debconf" not in name)


def _apt(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise InstallError(f"{' '.join(command[:1] + command[-2:])} failed: {done.stderr.strip()[-400:]}")


class ClickHouseServer:
    """One server process on free ports of 127.0.0.1, its data in `folder`."""

    def __init__(self, folder: Path, installed: Path) -> None:
        self.folder = folder
        self._installed = installed
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self.tcp, self.http = _free_port(), _free_port()
        config = _CONFIG.format(root=folder, tcp=self.tcp, http=self.http)
        (folder / "config.xml").write_text(config, encoding="utf-8")
        (folder / "users.xml").write_text(_USERS.format(password=PASSWORD), encoding="utf-8")

    @property
    def url(self) -> str:
        """Address for `store.open_store`."""
        return f"clickhouse://default:{PASSWORD}@127.0.0.1:{self.tcp}/default"

    def start(self) -> None:
        """Start and wait until it answers."""
        libraries = sorted({str(path.parent) for path in self._installed.rglob("*.so*")})
        environment = {**os.environ, "LD_LIBRARY_PATH": os.pathsep.join(libraries), "TZ": "UTC"}
        binary = self._installed / "usr" / "sbin" / "clickhouse-server"
        self._process = subprocess.Popen(
            [str(binary), f"--config-file={self.folder / 'config.xml'}"],
            cwd=self.folder,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 30
        while not _answers(self.tcp):
            if self._process.poll() is not None or time.monotonic() > deadline:
                log = self.folder / "error.log"
                words = log.read_text(errors="replace")[-800:] if log.exists() else "no log"
                self.stop()
                raise RuntimeError(f"clickhouse-server did not start: {words}")
            time.sleep(0.05)

    def kill(self) -> None:
        """kill -9 and wait."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Stop and wait."""
        self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(number)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1):
            return True
    except OSError:
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    try:
        print(install())
    except (InstallError, subprocess.CalledProcessError) as problem:
        sys.exit(f"clickhouse_server: {problem}")
