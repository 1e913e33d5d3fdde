"""`config`: print the settings in force, or every setting with its explanation."""

import ast
import inspect
import itertools
import json
import os
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click
from pydantic import BaseModel, SecretStr

from market_photos import console
from market_photos.cli.options import config_option
from market_photos.config import ENV_PREFIX, Settings, find_config, load, read_toml
from market_photos.settings import allowed_range

_WIDTH = 110
_EXAMPLE = """\
# market-photos: every setting with its default. Save this as config.toml and keep what you change.
#
# An environment variable overrides a setting: MARKET_PHOTOS_<SECTION>_<NAME>, for example
# MARKET_PHOTOS_LIMITS_PHOTO_REQUESTS=2000 or MARKET_PHOTOS_CAMPAIGNS_IDS='[101, 102]'.
# Relative paths start at the folder of this file. Settings with # before them have no default.
"""
_PAGE = """\
# Settings

Every setting of `config.toml`. `market-photos config --example` prints a file to start from. `market-photos config`
prints the settings in force and where each comes from. An environment variable overrides the file. Relative paths
start at the folder of the file.

<!-- Made from market_photos/settings.py by `make docs`. -->
"""


class Setting(NamedTuple):
    """A setting and what users must know about it."""

    name: str
    variable: str
    """The environment variable that overrides it."""
    value: str
    """Its default in TOML, or an example if it has none."""
    has_default: bool
    paragraphs: list[str]
    """Its explanation."""
    allowed: str
    """Its range; empty if it has none."""


def sections() -> Iterator[tuple[str, str, list[Setting]]]:
    """Yield name, purpose and settings of each section."""
    for section, defaults in Settings.model_construct():
        model = type(defaults)
        yield section, inspect.getdoc(model) or "", list(_settings(section, model))


def _settings(section: str, model: type[BaseModel]) -> Iterator[Setting]:
    for name, text in _explanations(model).items():
        field = model.model_fields[name]
        value = field.examples[0] if field.examples else toml(field.default)
        paragraphs = [" ".join(part.split()) for part in text.split("\n\n")]
        yield Setting(name, variable_of(section, name), value, not field.examples, paragraphs, allowed_range(field))


def _explanations(model: type[BaseModel]) -> dict[str, str]:
    """Return the docstring below each field. Pydantic can read them too, but would do so in every command."""
    found = {}
    for pair in itertools.pairwise(ast.walk(ast.parse(inspect.getsource(model)))):  # siblings follow each other
        match pair:
            case (ast.AnnAssign(target=ast.Name(name)), ast.Expr(ast.Constant(str(text)))):
                found[name] = text
    return found


def variable_of(section: str, name: str) -> str:
    """Return the environment variable that overrides a setting."""
    return f"{ENV_PREFIX}{section}_{name}".upper()


def toml(value: Any) -> str:
    """Return a setting's value in TOML. Secrets are not shown."""
    if isinstance(value, SecretStr):
        return '"(not shown)"'
    if isinstance(value, tuple):
        return f"[{', '.join(map(toml, value))}]"
    return json.dumps(str(value), ensure_ascii=False) if isinstance(value, str | Path) else str(value)


def example() -> str:
    """Return a configuration file with every setting, its explanation and its default."""
    parts = [_EXAMPLE]
    for section, purpose, settings in sections():
        parts.append(f"[{section}]  # {purpose}\n")
        for setting in settings:
            allowed = f"# Allowed: {setting.allowed}.\n" if setting.allowed else ""
            line = f"{'' if setting.has_default else '#'}{setting.name} = {setting.value}\n"
            parts.append("#\n".join(map(_comment, setting.paragraphs)) + allowed + line)
    return "\n".join(parts)


def _comment(paragraph: str) -> str:
    return (
        textwrap.fill(paragraph, _WIDTH, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False) + "\n"
    )


def page() -> str:
    """Return the same as a page of documentation, in Markdown."""
    parts = [_PAGE]
    for section, purpose, settings in sections():
        parts.append(f"## [{section}]\n\n{purpose}\n")
        for setting in settings:
            kind = "Default" if setting.has_default else "Example"
            parts.append(f"### {setting.name}\n")
            parts += [f"{_fill(paragraph)}\n" for paragraph in setting.paragraphs]
            allowed = f" Allowed: {setting.allowed}." if setting.allowed else ""
            parts.append(f"{kind}: `{setting.value}`.{allowed} Environment: `{setting.variable}`.\n")
    return "\n".join(parts)


def _fill(paragraph: str) -> str:
    return textwrap.fill(paragraph.replace("<", "\\<"), 120, break_on_hyphens=False, break_long_words=False)


@click.command()
@config_option
@click.option(
    "--example", "wants_example", is_flag=True, help="Print every setting with its explanation and default."
)
@click.option("--markdown", is_flag=True, hidden=True, help="Print docs/settings.md.")
def config(*, config: Path | None, wants_example: bool, markdown: bool) -> None:
    """Print the settings in force.

    Says where each comes from: the file, the environment or the default. With --example it prints a file to start
    from, with every setting and its explanation.
    """
    if wants_example or markdown:
        click.echo(example() if wants_example else page(), nl=False)
        return
    for line in in_force(find_config(config)):
        console.show(line)


def in_force(path: Path | None) -> Iterator[str]:
    """Yield the lines of a configuration file with the settings in force and their sources. Raises ConfigError."""
    settings, content = load(path), read_toml(path) if path else {}
    environment = {name.upper() for name, value in os.environ.items() if value}
    for section, part in settings:
        yield f"[{section}]"
        for name, value in part:
            variable = variable_of(section, name)
            in_file = name in content.get(section, {})
            source = variable if variable in environment else str(path) if in_file else "default"
            if value in (None, (), "") or (isinstance(value, SecretStr) and not value.get_secret_value()):
                yield f"# {name} is not set"
            else:
                yield f"{name} = {toml(value)}  # {source}"
