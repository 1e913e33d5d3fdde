"""`config` says which settings are in force, and where each comes from."""

from pathlib import Path

import pytest

from market_photos.cli.config import in_force


@pytest.fixture
def lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    path = tmp_path / "my.toml"
    path.write_text(
        '[api]\nkey_file = "key"\n[campaigns]\nids = [101, 102]\n[archive]\ndirectory = "архив"\n'
        '[report]\nping_url = "https://hc-ping.com/hidden-uuid"\n[limits]\nphoto_requests = 7\nreturn_requests = 8\n',
        encoding="utf-8",
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("market_photos_limits_photo_requests", "9")
    monkeypatch.setenv("MARKET_PHOTOS_API_KEY", "ACMA:not-to-be-shown")
    return list(in_force(Path("my.toml")))


def test_each_setting_has_its_value_and_its_source(lines: list[str], tmp_path: Path) -> None:
    for line in (
        f'key_file = "{tmp_path}/key"  # my.toml',
        "ids = [101, 102]  # my.toml",
        f'directory = "{tmp_path}/архив"  # my.toml',
        "photo_requests = 9  # MARKET_PHOTOS_LIMITS_PHOTO_REQUESTS",
        "return_requests = 8  # my.toml",
        "overlap_days = 7  # default",
        "# marker is not set",
    ):
        assert line in lines


def test_no_secret_is_shown(lines: list[str]) -> None:
    assert 'key = "(not shown)"  # MARKET_PHOTOS_API_KEY' in lines
    assert 'ping_url = "(not shown)"  # my.toml' in lines
    assert not [line for line in lines if "hidden-uuid" in line or "ACMA" in line]
