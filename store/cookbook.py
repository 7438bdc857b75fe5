"""The cookbook: a page of questions with their SQL, each answered anew from the invented data set.

Comes in: a Markdown page in which every fenced `sql` block is followed by a fenced `text` block. Goes out: the same
page with the answers of today. `python -m store.cookbook docs/cookbook.md` refreshes it.
"""

import argparse
import re
import sys
import tempfile
from contextlib import closing
from pathlib import Path

from store.cookbook_data import fill
from store.interface import Store
from store.migrate import migrate
from store.opening import open_store

_RECIPE = re.compile(r"^```sql\n(?P<sql>.*?)^```\n\n```text\n(?P<answer>.*?)^```$", re.MULTILINE | re.DOTALL)
_FORMAT = "PrettyCompactMonoBlock"
_PLAIN = "output_format_pretty_color = 0, output_format_pretty_row_numbers = 0"


def recipes(page: str) -> list[tuple[str, str]]:
    """The questions of a page as (SQL, answer)."""
    return [(match["sql"], match["answer"]) for match in _RECIPE.finditer(page)]


def refresh(page: str, store: Store) -> str:
    """The page with each answer as `store` gives it now.

    Raises:
        StoreRejected: a query of the page is wrong.
    """

    def answered(match: re.Match[str]) -> str:
        text = answer(store, match["sql"])
        return f"```sql\n{match['sql']}```\n\n```text\n{text}```"

    return _RECIPE.sub(answered, page)


def answer(store: Store, sql: str) -> str:
    """The answer of one query as a table of text, ended by a line end; empty for no rows."""
    statement = sql.strip().rstrip(";")
    settings = ", " if re.search(r"\bSETTINGS\b", statement) else "\nSETTINGS "
    return store.query_raw(f"{statement}{settings}{_PLAIN}", _FORMAT).decode()


def main(arguments: list[str] | None = None) -> int:
    """Refresh a page; with --check only say whether it is up to date (exit code 1: it is not)."""
    parser = argparse.ArgumentParser(prog="store.cookbook", description=main.__doc__)
    parser.add_argument("page", type=Path)
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args(arguments)
    before = given.page.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder, closing(open_store(f"chdb://{folder}/db")) as store:
        migrate(store)
        fill(store)
        after = refresh(before, store)
    if given.check:
        if after != before:
            print(f"{given.page} is not up to date: run python -m store.cookbook {given.page}", file=sys.stderr)
        return int(after != before)
    given.page.write_text(after, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
