"""The line for cron and the units for systemd start this installation, whatever its paths are called."""

from pathlib import Path

import pytest

from market_photos.cli.schedule import TIMER, crontab_line, program, service, user

EXAMPLES = Path(__file__).parents[2] / "examples"
COMMAND = ["/opt/market-photos/bin/market-photos"]
CONFIG = Path("/etc/market-photos/config.toml")


def settings_of(unit: str) -> set[str]:
    return {line for line in unit.splitlines() if "=" in line and not line.startswith("#")}


def test_the_units_are_those_of_the_examples_without_the_hardening() -> None:
    """One truth: what init prints for the paths of the README is in examples/."""
    printed = settings_of(service(COMMAND, CONFIG, Path("/srv/return-photos"), "market-photos"))
    assert printed <= settings_of((EXAMPLES / "market-photos.service").read_text())
    assert settings_of(TIMER) == settings_of((EXAMPLES / "market-photos.timer").read_text())


def test_the_crontab_line_has_full_paths() -> None:
    assert crontab_line(COMMAND, CONFIG) == (
        "15 3 * * *  /opt/market-photos/bin/market-photos sync --quiet --config /etc/market-photos/config.toml"
    )


@pytest.mark.parametrize(
    ("path", "in_cron", "in_systemd"),
    [
        ("/a/b", "/a/b", "/a/b"),
        ("/a b", "'/a b'", '"/a b"'),
        ("/50%", r"/50\%", "/50%%"),
        ("/$HOME", "'/$HOME'", "/$$HOME"),
        ('/"x"', "'/\"x\"'", r'"/\"x\""'),
        ("/a\\b", "'/a\\b'", r'"/a\\b"'),
        ("/архив", "'/архив'", "/архив"),
    ],
)
def test_odd_paths_are_quoted_as_their_reader_wants(path: str, in_cron: str, in_systemd: str) -> None:
    assert crontab_line(COMMAND, Path(path)).endswith(f" --config {in_cron}")
    assert f" --config {in_systemd}\n" in service(COMMAND, Path(path), Path("/x"), "me")


def test_paths_that_may_be_written_to_know_no_variables() -> None:
    assert 'ReadWritePaths="/my $photos"\n' in service(COMMAND, CONFIG, Path("/my $photos"), "me")


def test_a_program_is_named_by_its_full_path_and_a_module_by_its_interpreter(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "market-photos").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["./market-photos"])
    assert program() == [str(tmp_path / "market-photos")]
    monkeypatch.setattr("sys.argv", ["/lib/market_photos/__main__.py"])
    monkeypatch.setattr("sys.executable", "/usr/bin/python3")
    assert program() == ["/usr/bin/python3", "-m", "market_photos"]


def test_a_user_without_a_name_is_named_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that is started with any user."""
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.getuid", lambda: 54_321)
    assert user() == "54321"
