"""Numbered SQL files -> a database of the newest shape, each file once.

Comes in: `schemas/sql/NNNN_what.sql`. Goes out: the tables, and a row per file in `schema_migrations` with the
file's checksum. Every statement may be run twice (IF NOT EXISTS), so that a run which broke off, or two
programs that start at once, do no harm. A file whose first lines hold

    -- needs: access_control

runs only where the store lets this user manage roles; elsewhere it is reported as `skipped` and tried again
by the next run. There is no rollback by itself: `NNNN_what.down.sql` takes a file back by hand (`revert`).
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from store.interface import Store, StoreError, StoreRejected, StoreUnavailable
from store.sqltext import Statement, split_statements

SQL_FOLDER = Path(__file__).resolve().parent.parent / "schemas" / "sql"
TABLE = "schema_migrations"

State = Literal["pending", "applied", "skipped", "changed", "missing", "broken off"]

_NAME = re.compile(r"^(\d{4})_([a-z0-9_]+)\.sql$")
_NEEDS = re.compile(r"^--\s*needs:\s*(\w+)\s*$", re.MULTILINE)
_NO_ROLES = (497, 62)
"""Access denied; or a syntax error, where the store does not know the statement at all."""


class MigrationError(StoreError):
    """A migration cannot be run; the text says which file, which statement, and why."""


@dataclass(frozen=True)
class Migration:
    """One numbered file."""

    number: int
    name: str
    statements: tuple[Statement, ...]
    checksum: str
    """SHA-256 of the file, hex."""
    needs: str = ""
    down: tuple[Statement, ...] | None = None

    @property
    def file(self) -> str:
        """The file's name."""
        return f"{self.number:04d}_{self.name}.sql"


@dataclass(frozen=True)
class Step:
    """What is known of one file, or was done with it."""

    number: int
    name: str
    state: State
    detail: str = ""
    sql: tuple[str, ...] = ()
    """The statements that were run, or would be."""


def load(folder: Path = SQL_FOLDER) -> list[Migration]:
    """The migrations of `folder` in order.

    Raises:
        MigrationError: no file, a badly named one, or a number twice.
    """
    found: dict[int, Migration] = {}
    for path in sorted(folder.glob("*.sql")):
        if path.name.endswith(".down.sql"):
            continue
        match = _NAME.match(path.name)
        if match is None:
            raise MigrationError(f"{path.name}: want NNNN_what.sql")
        number, name = int(match.group(1)), match.group(2)
        if number in found:
            raise MigrationError(f"{path.name}: number {number:04d} is also {found[number].file}")
        found[number] = _read(path, number, name)
    if not found:
        raise MigrationError(f"no migrations in {folder}")
    return [found[number] for number in sorted(found)]


def _read(path: Path, number: int, name: str) -> Migration:
    text = path.read_text(encoding="utf-8")
    down = path.with_name(path.name.removesuffix(".sql") + ".down.sql")
    needs = _NEEDS.search(text)
    return Migration(
        number=number,
        name=name,
        statements=tuple(split_statements(text)),
        checksum=hashlib.sha256(text.encode()).hexdigest(),
        needs=needs.group(1) if needs else "",
        down=tuple(split_statements(down.read_text(encoding="utf-8"))) if down.exists() else None,
    )


def migrate(
    store: Store, *, dry_run: bool = False, folder: Path = SQL_FOLDER, now: datetime | None = None
) -> list[Step]:
    """Run what is pending, in order; with `dry_run` only say what would be run. `now`: time to record.

    Returns one step per file that was not applied before: `applied` (or `pending` in a dry run) with its SQL,
    or `skipped` with the reason.

    Raises:
        MigrationError: a file that was applied has changed since, or a statement failed (file, statement and
            line in the text); what came before it is applied and recorded.
        StoreUnavailable: the store does not answer.
    """
    migrations = load(folder)
    steps = _compare(migrations, _recorded(store))
    for step in steps:
        if step.state == "changed":
            raise MigrationError(f"{step.number:04d}_{step.name}.sql: {step.detail}")
    todo = {step.number: step.state for step in steps if step.state in ("pending", "skipped", "broken off")}
    if not dry_run:
        _make_table(store)
    done = []
    for migration in migrations:
        if migration.number in todo:
            done.append(_apply(store, migration, todo[migration.number], dry_run, now or datetime.now(UTC)))
    return done


def status(store: Store, *, folder: Path = SQL_FOLDER) -> list[Step]:
    """One step per file and per recorded number, in order.

    Raises:
        MigrationError, StoreUnavailable
    """
    return _compare(load(folder), _recorded(store))


def revert(store: Store, number: int, *, folder: Path = SQL_FOLDER) -> Step:
    """Run the `.down.sql` of the newest applied migration, which must be `number`.

    Raises:
        MigrationError: another one is the newest, there is no `.down.sql`, or a statement failed.
    """
    recorded = _recorded(store)
    applied = [one for one in recorded if recorded[one].state == "applied"]
    migration = next((one for one in load(folder) if one.number == number), None)
    if migration is None or not applied or max(applied) != number:
        newest = f"{max(applied):04d}" if applied else "none"
        raise MigrationError(f"{number:04d} cannot be taken back: the newest applied migration is {newest}")
    if migration.down is None:
        raise MigrationError(f"{migration.file}: there is no .down.sql beside it")
    _run(store, migration, migration.down, f"{migration.file.removesuffix('.sql')}.down.sql")
    _record(store, migration, "reverted", datetime.now(UTC))
    return Step(number, migration.name, "pending", "taken back", tuple(one.text for one in migration.down))


@dataclass(frozen=True)
class _Record:
    checksum: str
    state: str
    name: str
    detail: str


def _recorded(store: Store) -> dict[int, _Record]:
    """The newest record per number; empty while there is no table."""
    if not store.query(f"EXISTS TABLE {TABLE}")[0]["result"]:
        return {}
    rows = store.query(f"SELECT number, name, checksum, state, detail FROM {TABLE} ORDER BY number, step")
    return {
        int(str(row["number"])): _Record(str(row["checksum"]), str(row["state"]), str(row["name"]), str(row["detail"]))
        for row in rows
    }


def _compare(migrations: Sequence[Migration], recorded: dict[int, _Record]) -> list[Step]:
    steps = []
    for migration in migrations:
        record = recorded.pop(migration.number, None)
        steps.append(_state_of(migration, record))
    for number, record in recorded.items():
        if record.state != "reverted":
            steps.append(Step(number, record.name, "missing", "applied by another version; its file is not here"))
    return sorted(steps, key=lambda step: step.number)


def _state_of(migration: Migration, record: _Record | None) -> Step:
    number, name = migration.number, migration.name
    sql = tuple(statement.text for statement in migration.statements)
    if record is None or record.state == "reverted":
        return Step(number, name, "pending", sql=sql)
    if record.state == "skipped":
        return Step(number, name, "skipped", record.detail, sql)
    if record.state == "started":
        return Step(number, name, "broken off", "a run stopped in the middle of it; the next run repeats it", sql)
    if record.checksum != migration.checksum:
        return Step(number, name, "changed", "the file was changed after it was applied; write a new migration")
    return Step(number, name, "applied")


def _apply(store: Store, migration: Migration, before: State, dry_run: bool, now: datetime) -> Step:
    sql = tuple(statement.text for statement in migration.statements)
    if migration.needs and (reason := _refusal(store, migration.needs)):
        if not dry_run and before != "skipped":
            _record(store, migration, "skipped", now, reason)
        return Step(migration.number, migration.name, "skipped", reason, sql)
    if dry_run:
        return Step(migration.number, migration.name, "pending", sql=sql)
    _record(store, migration, "started", now)
    _run(store, migration, migration.statements, migration.file)
    _record(store, migration, "applied", now)
    return Step(migration.number, migration.name, "applied", sql=sql)


def _run(store: Store, migration: Migration, statements: Sequence[Statement], file: str) -> None:
    for number, statement in enumerate(statements, start=1):
        try:
            store.execute(statement.text)
        except StoreUnavailable as error:
            if error.code == 0:
                raise
            raise _failed(file, number, len(statements), statement, error) from error
        except StoreRejected as error:
            raise _failed(file, number, len(statements), statement, error) from error


def _failed(file: str, number: int, count: int, statement: Statement, error: StoreError) -> MigrationError:
    return MigrationError(
        f"{file}: statement {number} of {count} (line {statement.line}) failed, those before it are in place: {error}",
        error.code,
    )


def _refusal(store: Store, need: str) -> str:
    """Why the store cannot do what a file needs; empty when it can. Asks by doing: the answer is the store's."""
    if need != "access_control":
        raise MigrationError(f"unknown `-- needs: {need}`: only access_control is known")
    probe = "platefleet_migration_probe"
    try:
        store.execute(f"CREATE ROLE IF NOT EXISTS {probe}")
        store.execute(f"DROP ROLE IF EXISTS {probe}")
    except StoreError as error:
        if error.code in _NO_ROLES:
            return "this store or this user may not manage roles (the embedded store has no users)"
        raise
    return ""


def _make_table(store: Store) -> None:
    store.execute(
        f"CREATE TABLE IF NOT EXISTS {TABLE} (number UInt32, step UInt64, name String, checksum String, "
        "state String, detail String, at DateTime('UTC')) ENGINE = MergeTree ORDER BY (number, step)"
    )


def _record(store: Store, migration: Migration, state: str, now: datetime, detail: str = "") -> None:
    last = store.query(f"SELECT max(step) AS step FROM {TABLE} WHERE number = {migration.number}")[0]["step"]
    step = int(str(last)) + 1
    row = {
        "number": migration.number,
        "step": step,
        "name": migration.name,
        "checksum": migration.checksum,
        "state": state,
        "detail": detail,
        "at": now,
    }
    store.insert(TABLE, [row], token=f"{migration.file}/{step}/{state}/{now.isoformat()}")
