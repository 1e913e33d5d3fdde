"""A command loads only the modules that it uses: people wait for `--help`, monitoring calls `status`."""

import subprocess
import sys

import click
import pytest

from market_photos.cli.main import COMMANDS, cli

HEAVY = {"aiohttp", "aiolimiter", "pydantic", "rich", "jinja2", "PIL", "babel"}
RUN = {"aiohttp", "aiolimiter", "pydantic"}


@pytest.mark.parametrize(
    ("module", "loads"),
    [
        ("market_photos.cli.main", set()),
        # aiolimiter costs 2 ms once asyncio is loaded, which the catalogue loads
        ("market_photos.reporting.status", {"aiolimiter", "pydantic"}),
        ("market_photos.cli.run", RUN),
        ("market_photos.cli.display", RUN | {"rich"}),
    ],
)
def test_commands_import_heavy_packages_only_where_needed(module: str, loads: set[str]) -> None:
    code = f"import sys, {module}; print(*sorted({HEAVY!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == loads


def test_help_shows_one_line_a_command_and_imports_none() -> None:
    """The line is the first of the command's own help, so that both say the same."""
    for name, (module, line) in COMMANDS.items():
        command = cli.get_command(click.Context(cli), name)
        assert command
        assert command.callback
        assert command.callback.__module__ == module
        assert (command.help or "").partition("\n")[0] == line
    code = (
        "import sys; from market_photos.cli.main import cli; cli.main(['--help'], standalone_mode=False); "
        "print(*(name for name in sys.modules if name.startswith('market_photos')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert all(line in done.stdout for _, line in COMMANDS.values())
    assert "…" not in done.stdout
    loaded = done.stdout.splitlines()[-1].split()
    assert set(loaded) == {
        f"market_photos{name}" for name in ("", ".cli", ".cli.main", ".console", ".errors", ".streams")
    }
