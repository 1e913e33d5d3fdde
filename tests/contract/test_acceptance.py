"""tests/ACCEPTANCE.md names tests that exist, in every line."""

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent
LINES = [line for line in (TESTS / "ACCEPTANCE.md").read_text().splitlines() if line.startswith("- ")]
NAMED = re.compile(r"`((?:unit|integration|contract)/\w+\.py)::(\w+)`")


def functions_of(path: Path) -> set[str]:
    return {
        node.name
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


@pytest.mark.parametrize("line", LINES, ids=[line[6:46] for line in LINES])
def test_every_scenario_names_a_test_that_exists(line: str) -> None:
    named = NAMED.findall(line)
    assert named, "the scenario names no test"
    assert [name for file, name in named if name not in functions_of(TESTS / file)] == []
