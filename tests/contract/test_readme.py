"""README.md and README.ru.md say the same: what can be compared without reading two languages is equal."""

import re
from pathlib import Path

import pytest

from market_photos.cli.main import COMMANDS

ROOT = Path(__file__).parents[2]
ENGLISH = (ROOT / "README.md").read_text(encoding="utf-8")
RUSSIAN = (ROOT / "README.ru.md").read_text(encoding="utf-8")
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def prose(text: str) -> str:
    return _BLOCK.sub("", text)


def sections(text: str) -> list[str]:
    """The text of each section, the one before the first heading included, without the code blocks."""
    return re.split(r"^#{1,4} .*$", prose(text), flags=re.MULTILINE)


def blocks(text: str) -> list[tuple[str, list[str]]]:
    """The code blocks: kind and lines, without the comments at the ends of lines and without drawn words."""
    found = []
    for kind, content in _BLOCK.findall(text):
        lines = [re.sub(r"\s+#.*", "", line) for line in content.splitlines()]
        found.append((kind, [re.split(r"\s{3,}", line)[0] if not kind else line for line in lines]))
    return found


def first_cells(text: str) -> list[str]:
    """The first cell of each row of the tables, without their heads."""
    rows = re.findall(r"^\|(.*?)(?<!\\)\|", re.sub(r"^\|.*\n\|-.*$", "", text, flags=re.MULTILINE), re.MULTILINE)
    return [row.strip() for row in rows]


def test_both_readmes_have_the_same_headings() -> None:
    levels = [re.findall(r"^(#+) ", prose(text), re.MULTILINE) for text in (ENGLISH, RUSSIAN)]
    assert levels[0] == levels[1]
    assert len(levels[0]) > 10


def test_both_readmes_show_the_same_commands_and_files() -> None:
    """Word by word, except comments and the words beside a drawn tree."""
    english, russian = blocks(ENGLISH), blocks(RUSSIAN)
    assert [kind for kind, _ in english] == [kind for kind, _ in russian]
    for one, other in zip(english, russian, strict=True):
        assert one == other


def test_both_readmes_have_the_same_rows_in_their_tables() -> None:
    english, russian = first_cells(ENGLISH), first_cells(RUSSIAN)
    assert english == russian
    assert "`doctor`" in english


def test_every_command_has_a_row() -> None:
    named = {word for cell in first_cells(ENGLISH) for word in re.findall(r"`(\w+)", cell)}
    assert set(COMMANDS) - named == set()


@pytest.mark.parametrize(
    "pattern",
    [
        pytest.param(r"^- ", id="points of lists"),
        pytest.param(r"\]\(((?!README)[^)]+)\)", id="links"),
        pytest.param(r"\((\d+(?:, \d+)*)\)", id="exit codes"),
    ],
)
def test_each_section_has_the_same(pattern: str) -> None:
    for english, russian in zip(sections(ENGLISH), sections(RUSSIAN), strict=True):
        assert re.findall(pattern, english, re.MULTILINE) == re.findall(pattern, russian, re.MULTILINE), english[:80]


@pytest.mark.parametrize("text", [ENGLISH, RUSSIAN], ids=["en", "ru"])
def test_the_files_that_a_readme_links_exist(text: str) -> None:
    links = {link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link}
    assert links
    assert not [link for link in links if not (ROOT / link).exists()]


@pytest.mark.parametrize("text", [ENGLISH, RUSSIAN], ids=["en", "ru"])
def test_lines_of_a_readme_are_short(text: str) -> None:
    """Except tables and the output of programs."""
    assert not [line for line in prose(text).splitlines() if len(line) > 125 and not line.startswith("|")]
