"""Just enough of ClickHouse's grammar to cut a script in statements and to find where an INSERT's data begin.

Comes in: SQL text. Goes out: statements, or what kind of statement it is and where its data start.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

_TOKEN = re.compile(
    r"""
    (?P<space>\s+|--[^\n]*|\#(?:\ |!)[^\n]*|/\*.*?\*/)
  | (?P<quoted>'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*"|`(?:[^`\\]|\\.|``)*`
      | \$(?P<tag>\w*)\$.*?\$(?P=tag)\$)
  | (?P<word>[A-Za-z_][\w$]*)
  | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)


def words(text: str) -> frozenset[str]:
    """The words of `text`: how this package writes down sets of keywords."""
    return frozenset(text.split())


class Token(NamedTuple):
    """`kind` is space, quoted, word or other; `text` is upper case for words."""

    kind: str
    text: str
    start: int
    end: int


def tokens(sql: str) -> Iterator[Token]:
    """The tokens of `sql`; spaces and comments are tokens of kind `space`."""
    for match in _TOKEN.finditer(sql):
        kind = match.lastgroup or "other"
        text = match.group()
        yield Token(kind, text.upper() if kind == "word" else text, match.start(), match.end())


class Statement(NamedTuple):
    """One statement of a script and the line on which it begins, counted from 1."""

    text: str
    line: int


def split_statements(script: str) -> list[Statement]:
    """The statements of a script, without comments before them and without the semicolon."""
    found = []
    start: int | None = None
    end = 0
    for token in tokens(script):
        if token.kind == "space":
            continue
        if token.text == ";" and token.kind == "other":
            if start is not None:
                found.append(Statement(script[start:end], script.count("\n", 0, start) + 1))
            start = None
            continue
        if start is None:
            start = token.start
        end = token.end
    if start is not None:
        found.append(Statement(script[start:end], script.count("\n", 0, start) + 1))
    return found


@dataclass(frozen=True)
class InsertHead:
    """An INSERT whose data follow it."""

    head: str
    """`INSERT INTO t (a, b) SETTINGS ...`, without the FORMAT clause."""
    format: str
    data_start: int
    """Where in the text the data begin."""


def first_word(sql: str) -> str:
    """The first keyword, upper case; empty when there is none."""
    for token in tokens(sql):
        if token.kind == "word":
            return token.text
        if token.kind != "space" and token.text != "(":
            return ""
    return ""


def insert_head(sql: str) -> InsertHead | None:
    """The head of an INSERT with data after it; None for every other statement (INSERT ... SELECT too)."""
    if first_word(sql) != "INSERT":
        return None
    depth = 0
    format_at: int | None = None
    for token in tokens(sql):
        if token.kind == "space":
            continue
        if format_at is not None:
            return _with_format(sql, format_at, token) if token.kind in ("word", "quoted") else None
        if token.text in "([{":
            depth += 1
        elif token.text in ")]}":
            depth -= 1
        elif depth == 0 and token.kind == "word":
            if token.text in ("SELECT", "WITH", "WATCH"):
                return None
            if token.text == "VALUES":
                return InsertHead(sql[: token.start].rstrip(), "Values", token.end)
            if token.text == "FORMAT":
                format_at = token.start
    return None


def _with_format(sql: str, format_at: int, token: Token) -> InsertHead:
    """ClickHouse drops the blanks after the format's name and one line end; binary data begin after it."""
    at = token.end
    while at < len(sql) and sql[at] in " \t\f\v":
        at += 1
    if sql[at : at + 1] == ";":
        at += 1
    if sql[at : at + 2] == "\r\n":
        at += 2
    elif sql[at : at + 1] == "\n":
        at += 1
    name = sql[token.start : token.end].strip("`\"'")
    return InsertHead(sql[:format_at].rstrip(), name, at)


def output_format(sql: str) -> str | None:
    """The format named by the statement's own FORMAT clause, None without one."""
    seen = [token for token in tokens(sql) if token.kind != "space"]
    depth = 0
    for at, token in enumerate(seen):
        if token.text in ("(", "[", "{"):
            depth += 1
        elif token.text in (")", "]", "}"):
            depth -= 1
        elif token.text == "FORMAT" and token.kind == "word" and depth == 0 and at + 1 < len(seen):
            name = seen[at + 1]
            after = seen[at + 2].text if at + 2 < len(seen) else ";"
            if name.kind in ("word", "quoted") and after in (";", "SETTINGS", "INTO"):
                return sql[name.start : name.end].strip("`\"'")
    return None
