"""The first hour: `init` asks or takes options, checks against the API, and writes what works from then on."""

import os
import shlex
import stat
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from market_photos.config import load
from market_photos.sandbox import Market, Sandbox, running
from tests.terminal import at_terminal

PROGRAM = (sys.executable, "-m", "market_photos")
STARTED = {"LANG": "C.UTF-8", "PATH": "/usr/bin:/bin", "PYTHONPATH": str(Path.cwd())}


@dataclass
class Newcomer:
    """A person with an empty folder, and the Market."""

    folder: Path
    market: Market
    sandbox: Sandbox

    @property
    def config(self) -> Path:
        return self.folder / "config.toml"

    @property
    def key_file(self) -> Path:
        return self.folder / "api-key"

    def init(self, *options: str, stdin: str = "", **environment: str) -> tuple[int, str]:
        """Run `init` without a terminal; return the exit code and all that was printed."""
        done = subprocess.run(
            [*PROGRAM, "init", "--base-url", self.sandbox.url, *options],
            cwd=self.folder, env=STARTED | environment, input=stdin, text=True, check=False, timeout=60,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        assert self.market.key not in done.stdout
        assert "Traceback" not in done.stdout
        return done.returncode, done.stdout

    def run(self, *words: str) -> tuple[int, str]:
        done = subprocess.run(
            [*PROGRAM, *words], cwd=self.folder, env=STARTED, stdin=subprocess.DEVNULL, text=True, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60,
        )  # fmt: skip
        return done.returncode, done.stdout

    def files(self) -> list[str]:
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*"))


@pytest.fixture
def newcomer(tmp_path: Path) -> Iterator[Newcomer]:
    market = Market(seed=1)
    market.populate(stores=2, returns=4, photos=6)
    folder = tmp_path / "100 % of it"
    folder.mkdir()
    with running(market) as sandbox:
        yield Newcomer(folder, market, sandbox)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_person_is_asked_and_each_mistake_costs_one_more_question(newcomer: Newcomer) -> None:
    """A wrong key, a word for a store, a store of others, a file for a folder; then a dry run."""
    (newcomer.folder / "a-file").touch()
    code, screen = at_terminal(
        [*PROGRAM, "init", "--base-url", newcomer.sandbox.url],
        newcomer.folder,
        STARTED,
        [
            ("API key", "two words"),
            ("API key", "ACMA:wrong:0"),
            ("API key", newcomer.market.key),
            ("Stores to sync", "the tea shop"),
            ("Stores to sync", "101, 7"),
            ("Stores to sync", "101"),
            ("Folder of the archive", "a-file"),
            ("Folder of the archive", "photos"),
            ("a dry run", "y"),
        ],
    )
    assert code == 0, screen
    for words in (
        "more than a key",
        "401",
        "numbers of the stores",
        "sees no store 7",
        "101, 102",
        "Not a directory",
    ):
        assert words in screen
    assert "3 photos would be fetched" in screen
    assert screen.splitlines()[-1].startswith("Next: ")
    assert newcomer.market.key not in screen
    assert "ACMA:wrong:0" not in screen
    assert load(newcomer.config).campaigns.ids == (101,)
    assert load(newcomer.config).archive.directory == newcomer.folder / "photos"
    assert (mode(newcomer.key_file), mode(newcomer.config)) == (0o600, 0o600)
    assert newcomer.key_file.read_text() == f"{newcomer.market.key}\n"
    assert newcomer.market.key not in newcomer.config.read_text()


def test_what_init_prints_for_cron_works_in_the_environment_of_cron(newcomer: Newcomer, tmp_path: Path) -> None:
    """Options alone, in folders with spaces and a per cent sign; doctor says that all is well."""
    archive = tmp_path / "фото 50%"
    code, said = newcomer.init("--key-stdin", "--directory", str(archive), stdin=f"{newcomer.market.key}\n")
    assert code == 0, said
    assert "?" not in said
    line = next(line for line in said.splitlines() if line.startswith("15 3 * * *"))
    home = {"HOME": str(tmp_path), "SHELL": "/bin/sh", "PATH": "/usr/bin:/bin", "PYTHONPATH": str(Path.cwd())}
    done = subprocess.run(
        ["/bin/sh", "-c", line.removeprefix("15 3 * * *").replace("\\%", "%")],
        cwd=tmp_path, env=home, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    photos = [path for path in archive.glob("*/photos/*/*/*") if path.name != "return.json"]
    assert len(photos) == 6
    code, said = newcomer.run("doctor")
    assert (code, "Everything is well" in said) == (0, True)


@pytest.mark.parametrize("how", ["stdin", "environment", "file"])
def test_the_key_comes_from_anywhere_but_the_command_line(newcomer: Newcomer, how: str) -> None:
    """And every store is synced where none is named."""
    key = newcomer.market.key
    if how == "file":
        newcomer.key_file.write_text(key)
        newcomer.key_file.chmod(0o600)
    code, said = newcomer.init(
        *["--key-stdin"] * (how == "stdin"),
        stdin=key if how == "stdin" else "",
        **{"MARKET_PHOTOS_API_KEY": key} if how == "environment" else {},
    )
    assert code == 0, said
    assert load(newcomer.config).api_key() == key
    assert load(newcomer.config).campaigns.ids == ()
    assert mode(newcomer.key_file) == 0o600
    assert set(tomllib.loads(newcomer.config.read_text())) == {"api", "archive"}


@pytest.mark.parametrize("stdin", ["closed", "open and silent", "at its end"])
def test_without_a_key_and_a_person_it_says_so_at_once(newcomer: Newcomer, stdin: str) -> None:
    words = shlex.join([*PROGRAM, "init", "--base-url", newcomer.sandbox.url])
    ours, its = os.pipe()
    try:
        done = subprocess.run(
            ["bash", "-c", f"{words} {'<&-' if stdin == 'closed' else ''}"],
            stdin=its if stdin == "open and silent" else subprocess.DEVNULL,
            cwd=newcomer.folder, env=STARTED, capture_output=True, text=True, check=False, timeout=30,
        )  # fmt: skip
    finally:
        os.close(ours)
        os.close(its)
    assert done.returncode == 2
    assert "--key-stdin" in done.stderr
    assert newcomer.files() == []


def test_existing_files_stay_unless_force_is_given(newcomer: Newcomer) -> None:
    newcomer.config.write_text("# mine\n")
    key = newcomer.market.key
    code, said = newcomer.init("--key-stdin", stdin=key)
    assert (code, "config.toml exists already" in said, newcomer.config.read_text()) == (2, True, "# mine\n")
    newcomer.config.unlink()
    newcomer.key_file.write_text("another key\n")
    code, said = newcomer.init("--key-stdin", stdin=key)
    assert (code, "api-key exists already" in said, newcomer.files()) == (2, True, ["api-key"])
    assert newcomer.key_file.read_text() == "another key\n"
    code, said = newcomer.init("--key-stdin", "--force", stdin=key)
    assert (code, newcomer.key_file.read_text(), mode(newcomer.key_file)) == (0, f"{key}\n", 0o600), said


@pytest.mark.parametrize(
    ("options", "key", "code", "words"),
    [
        (["--campaign", "7"], "", 4, "sees no store 7"),
        (["--directory", "/proc/archive"], "", 5, "/proc"),
        (["--directory", "~no-such-user/x"], "", 2, "not a usable path"),
        (["--config", "no/such/folder.toml"], "", 2, "there is no such folder"),
        (["--base-url", "http://127.0.0.1:9"], "", 8, "127.0.0.1"),
        (["--base-url", "http://example.com"], "", 2, "must be https"),
        ([], "ACMA:wrong:0", 4, "401"),
        ([], "two keys", 2, "more than a key"),
        ([], "\n", 2, "is empty"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_written(
    newcomer: Newcomer, options: list[str], key: str, code: int, words: str
) -> None:
    found, said = newcomer.init("--key-stdin", *options, stdin=key or newcomer.market.key)
    assert (found, words in said) == (code, True), said
    assert newcomer.files() == []


def test_a_variable_that_overrides_the_file_is_named(newcomer: Newcomer, tmp_path: Path) -> None:
    """Without --directory the variable is the default, so that file and variable agree."""
    variable = {"MARKET_PHOTOS_ARCHIVE_DIRECTORY": str(tmp_path / "other")}
    code, said = newcomer.init("--key-stdin", stdin=newcomer.market.key, **variable)
    assert (code, "WARNING" in said) == (0, False), said
    assert load(newcomer.config).archive.directory == tmp_path / "other"
    code, said = newcomer.init("--force", "--directory", "mine", **variable)
    assert code == 0, said
    assert "WARNING: MARKET_PHOTOS_ARCHIVE_DIRECTORY is set here and overrides the file" in said


def test_doctor_makes_nothing(newcomer: Newcomer) -> None:
    newcomer.init("--key-stdin", stdin=newcomer.market.key)
    (newcomer.folder / "archive").rmdir()
    code, said = newcomer.run("doctor")
    assert (code, "does not exist yet" in said) == (0, True), said
    assert newcomer.files() == ["api-key", "config.toml"]


@pytest.mark.parametrize(("answer", "replaced"), [("", False), ("y", True)])
def test_a_person_is_asked_before_a_file_is_replaced(newcomer: Newcomer, answer: str, replaced: bool) -> None:
    newcomer.config.write_text("# mine\n")
    newcomer.key_file.write_text(newcomer.market.key)
    newcomer.key_file.chmod(0o600)
    questions = [("Replace it?", answer), ("Stores to sync", ""), ("Folder", ""), ("a dry run", "n")]
    words = [*PROGRAM, "init", "--base-url", newcomer.sandbox.url]
    code, screen = at_terminal(words, newcomer.folder, STARTED, questions if replaced else questions[:1])
    assert code == (0 if replaced else 2), screen
    assert (newcomer.config.read_text() == "# mine\n") is not replaced
