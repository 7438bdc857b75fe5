"""`platefleet query`: SQL in, the answer in any of ClickHouse's formats out."""

import sys
from contextlib import closing

import click


@click.command()
@click.argument("sql")
@click.option("--format", "format_", default=None, help="ClickHouse output format, such as JSONEachRow, CSV, Vertical.")
@click.option("--json", "as_json", is_flag=True, help="The same as --format JSONEachRow.")
def query(sql: str, format_: str | None, as_json: bool) -> None:
    """Ask the store in SQL; `-` takes the SQL from standard input.

    Tables and views: sightings, reads, alerts, vehicles, cameras. It works while `platefleet up` runs and afterwards.
    """
    from fleet.running import find_store
    from fleet.settings import load_settings
    from store import open_store

    settings = load_settings()
    text = sys.stdin.read() if sql == "-" else sql
    wanted = (
        "JSONEachRow" if as_json else format_ or ("PrettyCompactMonoBlock" if sys.stdout.isatty() else "TSVWithNames")
    )
    with closing(open_store(find_store(settings), threads=settings.threads)) as store:
        answer = store.query_raw(text.strip().rstrip(";"), wanted)
    sys.stdout.buffer.write(answer)
    sys.stdout.flush()
