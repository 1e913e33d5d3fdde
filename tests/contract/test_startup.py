"""A command loads what it uses: people wait for `--help`, and monitoring asks for `status` every minute."""

import subprocess
import sys

import pytest

HEAVY = {"aiohttp", "aiolimiter", "pydantic", "rich", "jinja2", "PIL", "babel"}
RUN = {"aiohttp", "aiolimiter", "pydantic"}


@pytest.mark.parametrize(
    ("module", "loads"),
    [
        ("market_photos.cli.main", set()),
        ("market_photos.reporting.status", {"pydantic"}),
        ("market_photos.cli.run", RUN),
        ("market_photos.cli.display", RUN | {"rich"}),
    ],
)
def test_heavy_imports_stand_where_they_are_used(module: str, loads: set[str]) -> None:
    """By name, for times depend on the machine."""
    code = f"import sys, {module}; print(*sorted({HEAVY!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == loads
