"""`platefleet migrate`: the numbered SQL files in, a store of this version's shape out."""

from contextlib import closing

import click
import msgspec
from rich.table import Table

from fleet.terminal import err, out, print_json


@click.command()
@click.option("--dry-run", is_flag=True, help="Print the SQL that would run, and run nothing.")
@click.option("--status", "only_status", is_flag=True, help="Print what is applied, and run nothing.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line per migration.")
def migrate(dry_run: bool, only_status: bool, as_json: bool) -> None:
    """Create and change the store's tables, each numbered file once, and keep rows as long as the settings say."""
    from fleet.rooms import retention
    from fleet.running import STORE_FOLDER, find_running, with_login
    from fleet.settings import load_settings
    from store import migrate as run
    from store import open_store, status
    from store.retention import apply

    if dry_run and only_status:
        raise click.UsageError("--dry-run and --status exclude each other")
    settings = load_settings()
    running = find_running(settings.data_dir)
    if settings.store_url:
        url = settings.store_url.get_secret_value()
    else:
        url = with_login(settings, running.store_url) if running else f"chdb://{settings.data_dir / STORE_FOLDER}"
    with closing(open_store(url, threads=settings.threads)) as store:
        steps = status(store) if only_status else run(store, dry_run=dry_run)
        if not (only_status or dry_run):
            apply(store, retention(settings))
    if as_json:
        for step in steps:
            print_json(msgspec.to_builtins(step))
        return
    if dry_run:
        for step in steps:
            click.echo(f"-- {step.number:04d}_{step.name}: {step.state} {step.detail}".rstrip())
            click.echo("".join(f"{sql};\n" for sql in step.sql))
        return
    table = Table("number", "name", "state", "detail")
    for step in steps:
        table.add_row(f"{step.number:04d}", step.name, step.state, step.detail)
    if steps:
        out.print(table)
    else:
        err.print("the store is up to date")
