"""Who searched for what, and why: rows in a chain of hashes, written before the search runs.

Comes in: user, reason and statement. Goes out: rows of `audit`, and whether a chain is whole. Each row's hash covers
the row and the hash before it: a row that was changed, left out or put in breaks the chain from there on. Rows cut off
at the end do not: keep the newest hash, which `verify` gives, elsewhere.
"""

import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from itertools import pairwise

from store.interface import Store, StoreRejected
from store.migrate import TABLE as MIGRATIONS
from store.sqltext import Token, first_word, tokens, words

TABLE = "audit"
HEADS = "audit_heads"
FIRST = "0" * 64
"""Stands for the hash before a chain's first row."""
MAX_STATEMENT = 20_000
MAX_NAME = 128
_NO_TABLE = (60, 16)
_MIGRATION = 10
"""That makes the table."""
_AGAIN_S = 60.0
_REMEMBERED = 1_000
_TIME = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:")
_ASKING = words("SELECT WITH FROM EXPLAIN")
_MAKES_ROWS = words("NUMBERS NUMBERS_MT ZEROS ZEROS_MT GENERATE_SERIES GENERATESERIES GENERATERANDOM VALUES NULL VIEW")
_ENDS_FROM = words(
    "SELECT WHERE PREWHERE GROUP HAVING WINDOW QUALIFY ORDER LIMIT UNION EXCEPT INTERSECT SETTINGS FORMAT"
)
_IN = words("IN NOTIN GLOBALIN GLOBALNOTIN NULLIN NOTNULLIN GLOBALNULLIN GLOBALNOTNULLIN")
_LOOKING_UP = ("JOINGET", "DICTGET", "DICTHAS")


@dataclass(frozen=True)
class Entry:
    """One row of a chain."""

    chain: str
    number: int
    """Rises by one; the first is 1."""
    at: datetime
    """UTC, whole milliseconds."""
    user: str
    action: str
    """search or forget."""
    statement: str
    reason: str
    previous_hash: str
    hash: str = ""

    def digest(self) -> str:
        """SHA-256, hex, over the hash before and all that this row says."""
        at = round(self.at.timestamp() * 1000)
        said = [self.previous_hash, self.chain, self.number, at, self.user, self.action, self.statement, self.reason]
        return hashlib.sha256(json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode()).hexdigest()


@dataclass(frozen=True)
class Head:
    """Where a chain ends, or ended when it was noted down."""

    rows: int
    head: str
    """Hash of the last row."""


@dataclass(frozen=True)
class Verdict:
    """What is known of one chain."""

    chain: str
    rows: int
    """Up to the first fault."""
    head: str
    """Hash of the last good row."""
    fault: str = ""
    """Empty: the chain is whole."""


def link(previous: Head | None, chain: str, at: datetime, user: str, action: str, statement: str, reason: str) -> Entry:
    """The row that follows the end `previous` (None: the first of `chain`)."""
    whole = at.astimezone(UTC).replace(microsecond=at.microsecond // 1000 * 1000)
    bare = Entry(
        chain=chain,
        number=previous.rows + 1 if previous else 1,
        at=whole,
        user=_text(user, MAX_NAME),
        action=action,
        statement=_text(statement, MAX_STATEMENT),
        reason=_text(reason, MAX_STATEMENT),
        previous_hash=previous.head if previous else FIRST,
    )
    return Entry(**(asdict(bare) | {"hash": bare.digest()}))


def _text(text: str, most: int) -> str:
    return text[:most].encode("utf-8", "replace").decode().replace("\0", "")


def check(entries: Iterable[Entry], noted: Head | None = None) -> Verdict:
    """Follow one chain, given in the order of its numbers; it must lead through what was noted."""
    last: Entry | None = None
    chain = ""
    for entry in entries:
        chain = entry.chain
        rows, head = (last.number, last.hash) if last else (0, FIRST)
        fault = ""
        if entry.number != rows + 1:
            fault = f"row {rows + 1} is missing" if entry.number > rows + 1 else f"row {entry.number} is there twice"
        elif entry.previous_hash != head:
            fault = f"row {entry.number} does not follow row {rows}"
        elif entry.hash != entry.digest():
            fault = f"row {entry.number} was changed"
        elif noted and entry.number == noted.rows and entry.hash != noted.head:
            fault = f"row {entry.number} is another than the one that was noted"
        if fault:
            return Verdict(chain, rows, head, fault)
        last = entry
    rows, head = (last.number, last.hash) if last else (0, FIRST)
    cut_off = f"rows {rows + 1} to {noted.rows} are cut off" if noted and rows < noted.rows else ""
    return Verdict(chain, rows, head, cut_off)


def verify(store: Store, noted: Mapping[str, Head] | None = None) -> list[Verdict]:
    """Every chain of the store, and those that were noted.

    Raises:
        StoreError: the store does not answer, or has no audit yet.
    """
    known = noted or {}
    found = {str(row["chain"]) for row in store.query(f"SELECT DISTINCT chain FROM {TABLE}")}
    sql = f"SELECT * FROM {TABLE} WHERE chain = {{chain:String}} ORDER BY number"
    return [
        replace(check(map(_entry, store.query(sql, {"chain": chain})), known.get(chain)), chain=chain)
        for chain in sorted(found | set(known))
    ]


def _entry(row: Mapping[str, object]) -> Entry:
    at = row["at"]
    assert isinstance(at, datetime)
    text = {
        name: str(row[name]) for name in ("chain", "user", "action", "statement", "reason", "previous_hash", "hash")
    }
    return Entry(number=int(str(row["number"])), at=at, **text)


class AuditLog:
    """Writes one chain. Any thread may call it; a chain must have one AuditLog at a time."""

    def __init__(self, store: Store, chain: str, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._store, self._chain, self._now = store, chain, now
        self._lock = threading.Lock()
        self._last: Head | None = None
        self._known = False
        self._recent: dict[tuple[str, str, str], datetime] = {}

    def write(self, user: str, action: str, statement: str, reason: str = "") -> Entry | None:
        """Add a row; None when the store has no audit table, since it was not migrated.

        Raises:
            StoreUnavailable: the row may be in or not; what it is about must not be done.
            StoreRejected: the audit was taken away; the same.
        """
        with self._lock:
            return self._write(user, action, statement, reason)

    def search(self, user: str, sql: str, parameters: Mapping[str, str], reason: str = "") -> Entry | None:
        """Add a row for a search, unless the same was made, apart from times, within the last minute.

        Raises:
            StoreUnavailable: the search must not run.
        """
        given = {name: parameters[name] for name in sorted(parameters)}
        asked = {name: value for name, value in given.items() if not _TIME.match(value)}
        key = (user, reason, json.dumps([sql, asked]))
        statement = sql if not given else f"{sql}\n-- {json.dumps(given, ensure_ascii=False)}"
        with self._lock:
            now = self._now()
            before = self._recent.get(key)
            if before is not None and (now - before).total_seconds() < _AGAIN_S:
                return None
            entry = self._write(user, "search", statement, reason)
            if entry is not None:
                if len(self._recent) >= _REMEMBERED:
                    self._recent.clear()
                self._recent[key] = now
            return entry

    def _write(self, user: str, action: str, statement: str, reason: str) -> Entry | None:
        try:
            if not self._known:
                self._last = self._end()
                self._known = True
            entry = link(self._last, self._chain, self._now(), user, action, statement, reason)
            self._known = False  # until the store has said that it is in
            self._store.insert(TABLE, [asdict(entry)], token=f"{TABLE}/{entry.chain}/{entry.number}/{entry.hash}")
        except StoreRejected as error:
            if error.code in _NO_TABLE and not self._was_migrated():
                return None
            raise
        self._last, self._known = Head(entry.number, entry.hash), True
        return entry

    def _was_migrated(self) -> bool:
        """Whether the store has once had an audit: then it is missing since somebody took it away."""
        if not self._store.query(f"EXISTS TABLE {MIGRATIONS}")[0]["result"]:
            return False
        sql = f"SELECT argMax(state, step) AS state FROM {MIGRATIONS} WHERE number = {_MIGRATION}"
        return self._store.query(sql) == [{"state": "applied"}]

    def _end(self) -> Head | None:
        found = self._store.query(f"SELECT * FROM {HEADS} WHERE chain = {{chain:String}}", {"chain": self._chain})
        return Head(int(str(found[0]["rows"])), str(found[0]["head"])) if found else None


def is_search(sql: str) -> bool:
    """Whether a statement may answer rows of the store's own tables: unless each of its sources is known to be the
    engine's own. What is not understood is a search."""
    if first_word(sql) not in _ASKING:
        return False
    found = [token for token in tokens(sql) if token.kind != "space"]
    named = [sql[token.start : token.end] if token.kind == "word" else token.text for token in found]
    if any(word.upper() == "IDENTIFIER" and before == ":" for before, word in pairwise(named)):
        return True
    if any(token.kind == "word" and token.text.startswith(_LOOKING_UP) for token in found):
        return True
    return any(not _is_engines_own(named, at) for at in _sources(found)) or _looks_into_a_table(found)


def _sources(found: Sequence[Token]) -> Iterator[int]:
    """Where names or brackets stand as a source: after FROM, JOIN, and the commas of a FROM clause."""
    listing = [False]
    for at, token in enumerate(found):
        if token.text == "(":
            listing.append(False)
        elif token.text == ")":
            listing = listing[:-1] or [False]
        elif token.text in ("FROM", "JOIN") or (token.text == "," and listing[-1]):
            listing[-1] = True
            yield at + 1
        elif token.text in _ENDS_FROM:
            listing[-1] = False


def _is_engines_own(named: Sequence[str], at: int) -> bool:
    name, after, table, then = (*named[at : at + 4], "", "", "", "")[:4]
    if name == "(":
        return after.upper() in (*_ASKING, "(")  # its own sources are looked at
    if after == "(":
        return name.upper() in _MAKES_ROWS
    if after == ".":
        return (
            name.strip('`"') in ("system", "information_schema", "INFORMATION_SCHEMA") and then != "." and bool(table)
        )
    return name == "schema_migrations"


def _looks_into_a_table(found: Sequence[Token]) -> bool:
    """Whether IN may be asked of a table: `x IN sightings`, `x IN (sightings)`, `in(x, sightings)`."""
    for at, token in enumerate(found):
        if token.kind != "word" or not token.text.removesuffix("IGNORESET").endswith("IN") or at + 1 == len(found):
            continue
        if found[at + 1].text != "(":
            if token.text == "IN" and found[at + 1].text[0] not in "'[{" and not found[at + 1].text.isdigit():
                return True
            continue
        if token.text.removesuffix("IGNORESET") in _IN and _has_bare_name(found, at + 1):
            return True
    return False


def _has_bare_name(found: Sequence[Token], opens: int) -> bool:
    """Whether a name that is no function's stands in a bracket, its questions apart."""
    depth = 0
    for token, after in pairwise(found[opens:]):
        depth += {"(": 1, ")": -1}.get(token.text, 0)
        if depth == 0 or token.text in _ASKING:
            return False
        is_name = token.kind == "word" or token.text[0] in '`"'
        if is_name and after.text != "(" and token.text not in ("NULL", "TRUE", "FALSE", "AS"):
            return True
    return False
