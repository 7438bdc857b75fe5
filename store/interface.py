"""The store as the other rooms see it: one protocol, one tree of errors.

StoreError
├── StoreUnavailable       nothing is wrong with the rows or the SQL: try the same call again
│   └── StoreMisconfigured the same, but a person must act first (password, missing table, no right)
└── StoreRejected          these rows, or this SQL, can never go through; ClickHouse's own code and words
"""

import ipaddress
import re
from collections.abc import Mapping, Sequence
from typing import Protocol
from urllib.parse import urlsplit, urlunsplit

Row = Mapping[str, object]

Parameters = Mapping[str, object]


class StoreError(Exception):
    """Root of what a store raises. `code` is ClickHouse's error code, 0 where ClickHouse did not speak."""

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


class StoreUnavailable(StoreError):
    """The store cannot be reached or cannot work now: the same call may succeed later."""


class StoreMisconfigured(StoreUnavailable):
    """The store answers, but is not set up for this: nothing may be dropped, and a person must act."""


class StoreRejected(StoreError):
    """These rows or this SQL can never go through. `column` and `row` say where, when that is known."""

    def __init__(self, message: str, code: int = 0, *, column: str | None = None, row: int | None = None) -> None:
        super().__init__(message, code)
        self.column = column
        self.row = row


class Store(Protocol):
    """The one door to ClickHouse. Every method may be called from any thread."""

    def insert(self, table: str, rows: Sequence[Row], *, token: str) -> None:
        """Insert `rows` (all with the same keys, which are columns of `table`) as one block; quickest as `Columns`.

        The block goes in whole or not at all, and a block with the same `token` goes in once: after a
        failure of any kind the same call may simply be made again. An empty `rows` does nothing.

        Raises:
            StoreUnavailable: unknown whether the block went in; call again with the same token.
            StoreRejected: no row went in, and none of these will as they are.
        """

    def query(self, sql: str, parameters: Parameters | None = None) -> list[dict[str, object]]:
        """Rows of a SELECT (or SHOW, DESCRIBE, EXISTS) as dicts; `{name:Type}` in `sql` is a parameter.

        Times come as aware UTC datetimes, UUIDs as str, named tuples as dicts.

        Raises:
            StoreUnavailable, StoreRejected
        """

    def query_raw(self, sql: str, format: str, parameters: Parameters | None = None) -> bytes:
        """The answer in any output format of ClickHouse; a FORMAT clause in `sql` wins.

        Raises:
            StoreUnavailable, StoreRejected: also for a format that this kind of store cannot give.
        """

    def execute(self, sql: str) -> None:
        """Run one statement that answers nothing.

        Raises:
            StoreUnavailable, StoreRejected
        """

    def ping(self) -> None:
        """Return when the store answers.

        Raises:
            StoreUnavailable: when it does not.
        """

    def close(self) -> None:
        """Let go of connections and folders. A second call does nothing."""


# Codes that say "not now": the same statement may pass later.
_TRANSIENT = frozenset(
    {159, 160, 173, 202, 203, 209, 210, 236, 241, 242, 243, 252, 319, 364, 373, 394, 425, 439, 473, 517, 733, 745, 999}
)
# Codes that say "not by this user, or not in this store": nothing is wrong with the rows.
_SETUP = frozenset({192, 193, 194, 195, 291, 497, 516})
# Codes of an insert whose table is not there, or not as the program knows it.
_SETUP_INSERT = frozenset({16, 60, 81, 164, 218, 219})

_CODE = re.compile(r"\bCode: (\d+)[.,]")


def error_code(text: str) -> int:
    """ClickHouse's error code in `text`, 0 when there is none."""
    found = _CODE.search(text)
    return int(found.group(1)) if found else 0


def as_store_error(text: str, code: int = 0, *, inserting: bool = False, where: str = "") -> StoreError:
    """The error of the tree that fits ClickHouse's own words."""
    code = code or error_code(text)
    words = " ".join(text.split())
    message = f"{where}: {words}" if where else words
    if code in _TRANSIENT:
        return StoreUnavailable(message, code)
    if code in _SETUP:
        return StoreMisconfigured(message, code)
    if inserting and code in _SETUP_INSERT:
        return StoreMisconfigured(f"{message} (run: platefleet migrate)", code)
    return StoreRejected(message, code)


def redact(url: str) -> str:
    """`url` without its password, for logs and errors."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{parts.username or ''}:***@{host}"))


def check_identifier(name: str) -> str:
    """`name`, when it is a table name `t` or `db.t` that needs no quoting.

    Raises:
        StoreRejected: when it is not.
    """
    if not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)?", name, re.ASCII):
        raise StoreRejected(f"{name!r} is not a table name")
    return name


def is_local(host: str) -> bool:
    """Whether the host is this machine by its very name."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
