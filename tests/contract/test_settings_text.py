"""The example file and the page of documentation are made from the settings."""

import re
import tomllib
from pathlib import Path

import pytest

from market_photos.cli.config import example, page, sections
from market_photos.config import Settings, load

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("name", "made"), [("config.example.toml", example), ("docs/settings.md", page)])
def test_the_text_in_the_repository_is_current(name: str, made: object) -> None:
    assert callable(made)
    assert (ROOT / name).read_text(encoding="utf-8") == made(), "run: make docs"


def test_every_setting_is_explained() -> None:
    """Except api.key, which never stands in a file."""
    explained = {(section, setting.name) for section, _, settings in sections() for setting in settings}
    known = {(section, name) for section, part in Settings.model_construct() for name in type(part).model_fields}
    assert known - explained == {("api", "key")}
    assert not explained - known


def test_the_example_as_it_is_gives_the_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "config.toml"
    path.write_text(example(), encoding="utf-8")
    path.with_name("empty.toml").touch()
    assert load(path) == load(path.with_name("empty.toml"))


def test_every_example_value_is_one_that_the_program_takes(tmp_path: Path) -> None:
    """Without the #, as people will use them."""
    path = tmp_path / "config.toml"
    path.write_text(re.sub(r"^#(?=\w+ = )", "", example(), flags=re.MULTILINE), encoding="utf-8")
    load(path)
    written = tomllib.loads(path.read_text(encoding="utf-8"))
    assert {(section, name) for section in written for name in written[section]} == {
        (section, setting.name) for section, _, settings in sections() for setting in settings
    }
