"""The command `platefleet`. In: arguments. Out: an exit code, and one line on standard error when something is wrong.

A command's module is imported only when it runs, so that `--help` is fast. Exit codes: 0 well, 1 an error that was
told in one line, 2 wrong usage, 130 interrupted.
"""

import importlib
import os
import signal
import sys
from collections.abc import Sequence

import click

from fleet.errors import one_line

_COMMANDS: dict[str, tuple[str, str]] = {
    "up": ("fleet.commands.up:up", "Run everything on this machine: Kafka, workers, streams, store, cameras."),
    "read": ("fleet.commands.read:read", "Read the plates of pictures and videos, without Kafka."),
    "query": ("fleet.commands.query:query", "Ask the store in SQL."),
    "audit": ("fleet.audit:audit", "Check the record of who searched for what."),
    "forget": ("fleet.forget:forget", "Delete all that is stored of one plate, and say what was deleted."),
    "alerts": ("fleet.commands.alerts:alerts", "Subscribe to alerts and print them."),
    "hotlist": ("fleet.commands.hotlist:hotlist", "Plates and patterns that raise alerts: add, import, list, remove."),
    "simulate": ("fleet.commands.simulate:simulate", "Render a drive of dash cams with its truth."),
    "publish": ("fleet.commands.publish:publish", "Send frames of a folder, file, stream or camera to Kafka."),
    "dead": ("fleet.commands.dead:dead", "Messages that could not be processed: list, replay."),
    "train": ("fleet.commands.train:train", "Train the plate detector or the plate reader."),
    "tune": ("fleet.commands.tune:tune", "Search for better settings of a training, by short runs."),
    "runs": ("fleet.commands.runs:runs", "List the trainings that ended: data, settings, figures, weights."),
    "pack": ("fleet.commands.pack:pack", "Make a smaller copy of the pack of photographs."),
    "evaluate": ("fleet.commands.evaluate:evaluate", "Measure the models on real photographs."),
    "export": ("fleet.commands.export:export", "Write the models as ONNX files, float32 and 8 bits."),
    "average": ("fleet.commands.average:average", "Make the reader between two trained ones."),
    "prune": ("fleet.commands.prune:prune", "Make a smaller model of a trained one."),
    "doctor": ("fleet.commands.doctor:doctor", "Say what is wrong with this machine's set-up, and how to mend it."),
    "migrate": ("fleet.commands.migrate:migrate", "Bring the store's tables to this version."),
    "topics": ("fleet.commands.topics:topics", "Create the topics that are missing."),
    "workers": ("fleet.commands.processes:workers", "Run a worker process: fleet.frames to fleet.reads."),
    "streams": ("fleet.commands.processes:streams", "Run a streams process: reads to sightings, alerts and SQL."),
    "deliver": ("fleet.commands.deliver:deliver", "Deliver alerts to webhooks, MQTT, e-mail; show how far each is."),
    "store": (
        "fleet.commands.processes:store",
        "Run the owner of the embedded store, with ClickHouse's HTTP interface.",
    ),
}


class LazyGroup(click.Group):
    """A group that knows its commands by name and one line, and imports one when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names, in the order in which a newcomer meets them."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command itself, imported."""
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table of commands, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, about) for name, (_, about) in _COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="platefleet", message="%(package)s %(version)s")
@click.option("--debug", is_flag=True, help="Show the trace of an error.")
def cli(debug: bool) -> None:
    """A fleet of dash cams in, sightings in SQL and alerts on a topic out."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in arguments
    if debug:
        # allowed anywhere: it is wanted after a command has failed
        arguments = ["--debug", *(part for part in arguments if part != "--debug")]
    code = 0
    try:
        cli.main(args=arguments, prog_name="platefleet", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        code = 130
    except click.exceptions.Exit as error:
        code = error.exit_code
    except BrokenPipeError:
        # the reader of a pipe, such as `head`, has what it wanted
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 128 + signal.SIGPIPE
    except Exception as error:
        # the program's edge: whatever it is becomes one line
        if debug:
            raise
        click.echo(f"platefleet: {one_line(error)}", err=True)
        code = 1
    sys.exit(code)
