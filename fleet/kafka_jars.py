"""The jars of Apache Kafka for one machine. In: `fleet/kafka_lock.py`. Out: a folder of verified jars in a cache.

The lock holds, a line each, Maven coordinate, bytes and SHA-256. After the first fetch no network is needed.
Another version: change KAFKA_VERSION, run `python -m fleet.kafka_jars`, and commit the lock that it writes.
"""

import hashlib
import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from fleet import kafka_lock
from fleet.kafka_lock import LOCK

KAFKA_VERSION = "4.3.0"
_ENDPOINTS = (f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}",)
_ALONE = ("org.apache.logging.log4j:log4j-slf4j-impl:2.25.4",)
"""Taken without what it depends on, which Kafka brings in its own versions."""


_LOCK_HEAD = """\
\"\"\"The jars of Apache Kafka: Maven coordinate, bytes, SHA-256. Written by `python -m fleet.kafka_jars`.\"\"\"

# ruff: noqa: E501
"""


class JarError(Exception):
    """Kafka's jars are not there and cannot be fetched; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Jar:
    """One line of the lock."""

    group: str
    artifact: str
    version: str
    size: int
    sha256: str

    @property
    def file_name(self) -> str:
        """As Maven names it."""
        return f"{self.artifact}-{self.version}.jar"


def locked_jars() -> list[Jar]:
    """The jars of the lock."""
    jars = []
    for line in LOCK.split("\n"):
        coordinate, size, sha256 = line.split()
        group, artifact, version = coordinate.split(":")
        jars.append(Jar(group, artifact, version, int(size), sha256))
    return jars


def jar_folder(cache: Path) -> Path:
    """Where the jars of this version lie, under platefleet's folder in the user's cache."""
    return cache / f"kafka-{KAFKA_VERSION}"


def missing_jars(cache: Path, *, verify: bool = False) -> list[Jar]:
    """Jars that are absent or of the wrong size; with `verify`, also those whose SHA-256 is wrong."""
    folder = jar_folder(cache)

    def good(jar: Jar) -> bool:
        path = folder / jar.file_name
        if not path.is_file() or path.stat().st_size != jar.size:
            return False
        return not verify or hashlib.sha256(path.read_bytes()).hexdigest() == jar.sha256

    return [jar for jar in locked_jars() if not good(jar)]


def ensure_jars(cache: Path, progress: Callable[[int, int], None] | None = None) -> list[Path]:
    """All jars, fetched from Maven Central by jgo where they are missing, and checked against the lock.

    Args:
        cache: platefleet's folder in the user's cache.
        progress: called with jars fetched and jars to fetch.

    Raises:
        JarError: no network, a full disk, or a jar that is not the one in the lock.
    """
    missing = missing_jars(cache)
    if missing:
        folder = jar_folder(cache)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder) as work, ThreadPoolExecutor(8) as pool:
                for count, _ in enumerate(pool.map(lambda jar: _fetch(jar, Path(work), folder), missing), start=1):
                    if progress:
                        progress(count, len(missing))
        except (OSError, RuntimeError) as error:
            # what the network did has no number of the system, what the disk did has one
            if isinstance(error, OSError) and error.errno is None:
                raise JarError(
                    f"cannot fetch Kafka's jars from Maven Central ({type(error).__name__}); connect once, "
                    f"copy {folder} from another, or set PLATEFLEET_BROKERS to a Kafka of yours"
                ) from error
            raise JarError(f"cannot store Kafka's jars in {folder}: {' '.join(str(error).split())}") from error
    return [jar_folder(cache) / jar.file_name for jar in locked_jars()]


def _fetch(jar: Jar, work: Path, folder: Path) -> None:
    """Fetch into `work`, verify, then move: nobody ever sees half a jar in `folder`."""
    from jgo.maven import MavenContext

    context = MavenContext(repo_cache=work)
    path = context.project(jar.group, jar.artifact).at_version(jar.version).artifact().resolve()
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != jar.sha256:
        raise JarError(f"{jar.file_name} from Maven Central is not the one in the lock (SHA-256 {digest})")
    shutil.move(path, folder / jar.file_name)


def write_lock() -> int:
    """Resolve KAFKA_VERSION anew, write the lock, and return the number of jars."""
    import jgo
    from jgo.maven import MavenContext

    found = [artifact for endpoint in _ENDPOINTS for artifact in jgo.resolve(endpoint)]
    found += [jgo.resolve(endpoint)[0] for endpoint in _ALONE]
    lines = []
    with tempfile.TemporaryDirectory() as work:
        context = MavenContext(repo_cache=Path(work))
        for artifact in found:
            component = context.project(artifact.groupId, artifact.artifactId).at_version(artifact.version)
            data = component.artifact().resolve().read_bytes()
            coordinate = f"{artifact.groupId}:{artifact.artifactId}:{artifact.version}"
            lines.append(f"{coordinate} {len(data)} {hashlib.sha256(data).hexdigest()}")
    text = "\n".join(sorted(lines))
    Path(kafka_lock.__file__).write_text(f'{_LOCK_HEAD}LOCK = """\\\n{text}"""\n')
    return len(lines)


if __name__ == "__main__":
    print(f"{write_lock()} jars of Kafka {KAFKA_VERSION} locked")
