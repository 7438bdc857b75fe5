"""`platefleet query`: SQL in, the answer in any of ClickHouse's formats out."""

import sys

import click


@click.command()
@click.argument("sql")
@click.option("--format", "format_", default=None, help="ClickHouse output format, such as JSONEachRow, CSV, Vertical.")
@click.option("--json", "as_json", is_flag=True, help="The same as --format JSONEachRow.")
@click.option("--reason", default="", help="Why you ask: it is written to the audit with the query and your name.")
def query(sql: str, format_: str | None, as_json: bool, reason: str) -> None:
    """Ask the store in SQL; `-` takes the SQL from standard input.

    It works while `platefleet up` runs and afterwards. Views: sightings, sightings_by_time, plates, vehicles,
    last_seen, reads, crops, alerts, encounters, hotlist, hotlist_rules, wrong_hits, cameras, camera_states,
    camera_health, dead_letters, audit; with parameters: encounters_between, co_travellers, convoys. docs/store.md
    says what their rows are. Times are UTC.
    """
    from fleet.audit import search
    from fleet.settings import load_settings

    settings = load_settings()
    text = sys.stdin.read() if sql == "-" else sql
    wanted = (
        "JSONEachRow" if as_json else format_ or ("PrettyCompactMonoBlock" if sys.stdout.isatty() else "TSVWithNames")
    )
    answer = search(settings, text.strip().rstrip(";"), wanted, reason)
    sys.stdout.buffer.write(answer)
    sys.stdout.flush()
