"""The cookbook's page says what its queries answer."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from store import Store, migrate, open_store
from store.cookbook import answer, recipes
from store.cookbook_data import fill, tables

PAGE = Path(__file__).resolve().parents[2] / "docs" / "cookbook.md"
TEXT = PAGE.read_text(encoding="utf-8")
RECIPES = recipes(TEXT)


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    opened = open_store(f"chdb://{tmp_path_factory.mktemp('cookbook')}/db")
    migrate(opened)
    fill(opened)
    yield opened
    opened.close()


@pytest.mark.parametrize("number", range(1, 21))
def test_a_query_answers_what_the_page_says(town: Store, number: int) -> None:
    sql, said = RECIPES[number - 1]
    assert said.count("\n") >= 3, "an answer without rows proves nothing"
    assert answer(town, sql) == said


def test_twenty_questions_each_with_its_query() -> None:
    assert re.findall(r"^### (\d+)\.", TEXT, re.MULTILINE) == [str(number) for number in range(1, 21)]
    assert len(RECIPES) == 21, "where a plate was seen last has its whole way beside it"
    assert TEXT.count("```sql") == 21


def test_the_data_are_the_same_at_every_run() -> None:
    assert tables() == tables()
