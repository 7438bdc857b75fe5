"""The cluster's page holds SQL that the engine parses, of tables and columns that exist."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from store import Store, migrate, open_store

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "cluster.md").read_text(encoding="utf-8")
STATEMENTS = re.findall(r"^```sql\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    opened = open_store(f"chdb://{tmp_path_factory.mktemp('cluster')}/db")
    migrate(opened)
    yield opened
    opened.close()


@pytest.mark.parametrize("sql", STATEMENTS)
def test_it_is_sql(store: Store, sql: str) -> None:
    assert store.query("SELECT formatQuery({sql:String}) AS text", {"sql": sql})


def test_the_replicated_tables_have_the_order_and_columns_of_the_migrations(store: Store) -> None:
    shown = {
        str(row["name"]): row
        for row in store.query(
            "SELECT name, sorting_key, partition_key FROM system.tables WHERE database = currentDatabase()"
        )
    }
    made = [sql for sql in STATEMENTS if sql.startswith("CREATE TABLE") and "ORDER BY" in sql]
    assert len(made) == 2
    for sql in made:
        name = sql.split()[5]
        columns = {str(row["name"]): str(row["type"]) for row in store.query(f"DESCRIBE TABLE {name}")}
        said = dict(re.findall(r"^    (\w+) (.+?),?$", sql, re.MULTILINE))
        assert said.items() <= columns.items()
        order = re.search(r"ORDER BY \(?([^)\n]+)", sql)
        assert order is not None
        assert order.group(1) == shown[name]["sorting_key"]
