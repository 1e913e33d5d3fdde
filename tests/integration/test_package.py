"""What is released can be built, holds what it must, and works in an environment that has nothing else."""

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from market_photos import __version__

ROOT = Path(__file__).parents[2]
#: Files of the repository that nobody needs who has a release.
NOT_RELEASED = (".ci/", ".gitignore")


def run(*words: str | Path, folder: Path, **environment: str) -> str:
    """Run a command to its end and return what it prints; fails with that if the command does."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("MARKET_PHOTOS", "PYTHON"))}
    done = subprocess.run(
        words, cwd=folder, env=own | environment, capture_output=True, text=True, check=False, timeout=250
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """An sdist of this checkout, and a wheel that is built from nothing but the sdist."""
    folder = tmp_path_factory.mktemp("built")
    run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", folder, folder=ROOT)
    [sdist] = folder.glob("*.tar.gz")
    with tarfile.open(sdist) as tar:
        tar.extractall(folder, filter="data")
    source = folder / sdist.name.removesuffix(".tar.gz")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, folder=source)
    [wheel] = folder.glob("*.whl")
    return source, wheel


def test_the_sdist_holds_every_file_of_the_repository(built: tuple[Path, Path]) -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("no git here to compare with")
    source, _ = built
    tracked = run("git", "ls-files", "-z", folder=ROOT).rstrip("\0").split("\0")
    wanted = {name for name in tracked if (ROOT / name).exists() and not name.startswith(NOT_RELEASED)}
    assert sorted(name for name in wanted if not (source / name).is_file()) == []


def test_the_wheel_holds_the_package_and_nothing_else(built: tuple[Path, Path]) -> None:
    source, wheel = built
    package = {
        path.relative_to(source).as_posix() for path in (source / "market_photos").rglob("*") if path.is_file()
    }
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == package
    assert "market_photos/py.typed" in names


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_wheel_works_in_an_empty_environment(built: tuple[Path, Path], tmp_path: Path) -> None:
    """Its dependencies alone are enough for the demo, and for what a newcomer does first."""
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")
    try:
        run(*pip, "download", "--no-deps", "-d", tmp_path / "reach", "aiolimiter", folder=tmp_path)
    except AssertionError as error:
        pytest.skip(f"pip reaches no index: {error}"[:300])
    environment, home = tmp_path / "environment", tmp_path / "home"
    home.mkdir()
    run(sys.executable, "-m", "venv", "--without-pip", environment, folder=tmp_path)
    run(*pip, "--python", environment / "bin/python", "install", built[1], folder=tmp_path)
    run(*pip, "--python", environment / "bin/python", "check", folder=tmp_path)
    program = environment / "bin/market-photos"
    assert __version__ in run(program, "--version", folder=home)
    assert run(program, "config", "--example", folder=home) == (ROOT / "config.example.toml").read_text("utf-8")
    run(program, "demo", "--quiet", folder=home, HOME=str(home))
    assert len([path for path in home.rglob("photos/*/*/*") if path.suffix != ".json"]) == 120
    run(environment / "bin/python", "-c", "from market_photos import *; Archive('.')", folder=home)
