"""[report] in the configuration, and the key where systemd keeps it."""

from pathlib import Path

import pytest

from market_photos.config import load
from market_photos.errors import ConfigError


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('ping_url = "ftp://secret-uuid"', "must be an address like"),
        ('ping_url = "secret-uuid"', "must be an address like"),
        ('ping_url = "https://host/secret-uuid#x"', "must be an address like"),
        ('on_finish = "sh -c \'open"', "cannot be split into words"),
        ("on_finish_seconds = 0", "allowed: 1 to 3600"),
        ("pingurl = 'x'", "there is no such setting"),
    ],
)
def test_an_unusable_setting_is_explained(tmp_path: Path, line: str, said: str) -> None:
    """File, setting and range; an address that gives the right to call is not repeated."""
    path = tmp_path / "config.toml"
    path.write_text(f"[report]\n{line}\n")
    with pytest.raises(ConfigError) as error:
        load(path)
    assert said in error.value.message
    assert "secret-uuid" not in error.value.message


def test_paths_are_relative_to_the_file_and_the_environment_silences_the_ping(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "config.toml"
    path.write_text('[report]\nping_url = "https://host/uuid"\nmetrics_file = "m.prom"\n')
    report = load(path).report
    assert report.metrics_file == tmp_path / "m.prom"
    assert report.ping_url.get_secret_value() == "https://host/uuid"
    assert "uuid" not in repr(load(path))
    monkeypatch.setenv("MARKET_PHOTOS_REPORT_PING_URL", "off")
    assert load(path).report.ping_url.get_secret_value() == ""
    assert load(path).report.metrics_file == tmp_path / "m.prom"


@pytest.mark.parametrize(("mode", "is_credential", "is_taken"), [
    (0o600, False, True), (0o440, False, False), (0o440, True, True), (0o444, True, False), (0o460, True, False),
])  # fmt: skip
def test_a_credential_of_systemd_is_private_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, is_credential: bool, is_taken: bool
) -> None:
    """LoadCredential's copy is the service's alone, though an ACL makes it look readable by its group."""
    key = tmp_path / "api-key"
    key.write_text("ACMA:some:key\n")
    key.chmod(mode)
    monkeypatch.setenv("MARKET_PHOTOS_API_KEY_FILE", str(key))
    if is_credential:
        monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    settings = load(None)
    if is_taken:
        assert settings.api_key() == "ACMA:some:key"
    else:
        with pytest.raises(ConfigError, match="other users"):
            settings.api_key()
