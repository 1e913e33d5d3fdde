"""The program's entry point: a group whose commands are imported when they are called."""

import difflib
import gc
import importlib.util
import os
import sys

import click
from click.shell_completion import CompletionItem

from market_photos import __version__, console
from market_photos.errors import ExitCode, MarketPhotosError, UsageError
from market_photos.streams import make_safe

#: Each command with the module that holds it and its line in `--help`, which imports none of them.
COMMANDS = {
    "init": ("market_photos.cli.init", "Write a configuration for your stores."),
    "sync": ("market_photos.cli.sync", "Download photos of new and updated returns."),
    "backfill": ("market_photos.cli.sync", "Download photos of past returns, newest month first."),
    "fetch": ("market_photos.cli.sync", "Download the photos of one return or order."),
    "status": ("market_photos.cli.status", "Show what is archived, pending and failed."),
    "awaiting": ("market_photos.cli.awaiting", "List the returns that await your decision."),
    "browse": ("market_photos.cli.browse", "Show the archive as a web page."),
    "export": ("market_photos.cli.export", "Export evidence, or a table of the archive."),
    "verify": ("market_photos.cli.maintenance", "Check every archived photo."),
    "rebuild": ("market_photos.cli.maintenance", "Make a new catalogue from the photos on disk."),
    "prune": ("market_photos.cli.maintenance", "Delete photos and records of old returns."),
    "hold": ("market_photos.cli.maintenance", "Keep a return from pruning."),
    "release": ("market_photos.cli.maintenance", "End the hold on a return."),
    "copy": ("market_photos.cli.copy", "Copy the archive to a bucket or a folder."),
    "config": ("market_photos.cli.config", "Print the settings in force."),
    "worker": ("market_photos.cli.worker", "Work on stores for a cluster's scheduler."),
    "doctor": ("market_photos.cli.doctor", "Check configuration, key, stores, disk and clock."),
    "sandbox": ("market_photos.cli.sandbox", "Serve an embedded Market to try things on."),
    "demo": ("market_photos.cli.demo", "Run a sync against an embedded Market."),
}

_NO_LOCKS = UsageError(
    "market-photos does not run on Windows: it needs the file locks of Unix.",
    "Use WSL 2, and keep the archive inside it.",
)


class LazyGroup(click.Group):
    """A group that imports a command's module when that command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order in which `--help` shows them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command, importing its module; None if there is no such command."""
        if cmd_name not in COMMANDS:
            return None
        module, _ = COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(module), cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command of the first argument. Raises UsageError, with the name that was probably meant."""
        close = difflib.get_close_matches(args[0], COMMANDS, 1)
        if close and args[0] not in COMMANDS:
            ctx.fail(f"No such command '{args[0]}'. Did you mean '{close[0]}'?")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one line for each command without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the commands and options that begin so, without importing any command."""
        found = [CompletionItem(name, help=line) for name, (_, line) in COMMANDS.items()]
        return [item for item in found if item.value.startswith(incomplete)] + click.Command.shell_complete(
            self, ctx, incomplete
        )


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, "-V", "--version")
@click.option("--config", metavar="FILE", type=click.Path(), help="Read this configuration; may follow the command.")
@click.pass_context
def cli(context: click.Context, config: str | None) -> None:
    """Download the photos that buyers attach to returns on Yandex Market."""
    if config is not None:
        context.default_map = {name: {"config": config} for name in COMMANDS}


def main() -> None:
    """Run the command line and end the process with the exit code."""
    if importlib.util.find_spec("fcntl") is None:
        console.say_error(_NO_LOCKS)
        sys.exit(_NO_LOCKS.exit_code)
    make_safe(console.redact)
    gc.set_threshold(10_000)  # imports and pages of returns make many objects and no garbage
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # pydantic would search every installed package
    try:
        cli.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(ExitCode.USAGE)
    except click.Abort:
        sys.exit(ExitCode.INTERRUPTED)
    except MarketPhotosError as error:
        console.say_error(error)
        sys.exit(error.exit_code)
    except Exception as error:
        sys.exit(console.say_internal_error(error))


if __name__ == "__main__":
    main()
