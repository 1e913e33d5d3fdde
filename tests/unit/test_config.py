"""Settings have the values that a person wrote; an error names file, key, value and range."""

import datetime as dt
import os
from pathlib import Path

import pytest

from market_photos.config import Settings, find_config, load
from market_photos.errors import ConfigError, ExitCode
from market_photos.settings import OFFICIAL_URL

KEY = "ACMA:0123456789abcdefghijklmnopqrstuvwxyzABCD:89abcdef"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hide the variables and the folder of the person who runs the tests."""
    for name in os.environ:
        if name.upper().startswith("MARKET_PHOTOS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


def written(folder: Path, text: str) -> Path:
    path = folder / "config.toml"
    path.write_text(text, encoding="utf-8")
    return path


def refused(path: Path | None) -> str:
    """Return message and hint of the error."""
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert caught.value.exit_code is ExitCode.USAGE
    return f"{caught.value.message}\n{caught.value.hint}"


def key_file(folder: Path, content: bytes, mode: int = 0o600) -> Settings:
    path = folder / "key"
    path.write_bytes(content)
    path.chmod(mode)
    return load(written(folder, '[api]\nkey_file = "key"'))


def test_without_any_source_the_documented_defaults_apply(tmp_path: Path) -> None:
    """No file and an empty file mean the same, except for the base of a relative `archive`."""
    found = load(None)
    assert found.api.base_url == OFFICIAL_URL
    assert found.campaigns.ids == ()
    assert found.archive.directory == Path("archive")
    assert (found.limits.parallel_requests, found.limits.photo_requests, found.limits.return_requests) == (
        3,
        5000,
        5000,
    )
    assert (found.limits.period_seconds, found.limits.reserve_requests) == (3600, 0)
    assert (found.sync.overlap_days, found.sync.first_sync_from, found.sync.refresh_hours) == (7, None, 3)
    empty = load(written(tmp_path, ""))
    assert empty.archive.directory == tmp_path / "archive"
    assert (empty.api, empty.limits, empty.sync) == (found.api, found.limits, found.sync)


def test_every_section_of_a_file_is_read(tmp_path: Path) -> None:
    """Every section, and a byte order mark as some editors leave it."""
    found = load(
        written(
            tmp_path,
            "\ufeff"
            '[api]\nbase_url = "http://127.0.0.1:8080/"\n'
            "[campaigns]\nids = [102, 101, 102]\n"
            "[archive]\nmin_free_bytes = 0\n"
            "[limits]\nparallel_requests = 4\nphoto_requests = 20\nperiod_seconds = 2.5\nreserve_requests = 19\n"
            "[sync]\nfirst_sync_from = 2024-01-31\noverlap_days = 0\nrefresh_hours = 0.5\n",
        )
    )
    assert found.api.base_url == "http://127.0.0.1:8080"
    assert found.campaigns.ids == (102, 101)  # each once, or the second would meet the lock of the first
    assert found.archive.min_free_bytes == 0
    assert (found.limits.parallel_requests, found.limits.photo_requests, found.limits.period_seconds) == (4, 20, 2.5)
    assert found.limits.reserve_requests == 19
    assert (found.sync.first_sync_from, found.sync.overlap_days) == (dt.date(2024, 1, 31), 0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[limits]\nparallel_requests = 5", ["limits.parallel_requests = 5", "1 to 4"]),
        ("[limits]\nparallel_requests = 0", ["limits.parallel_requests = 0", "1 to 4"]),
        ("[limits]\nparallel_requests = true", ["limits.parallel_requests = true", "1 to 4"]),
        ("[limits]\nparallel_requests = 2.5", ["limits.parallel_requests = 2.5", "1 to 4"]),
        ("[limits]\nphoto_requests = 'many'", ["limits.photo_requests = 'many'", "1 to 1000000"]),
        ("[limits]\nperiod_seconds = nan", ["limits.period_seconds = nan", "0.1 to 86400"]),
        ("[limits]\nperiod_seconds = inf", ["limits.period_seconds = inf", "0.1 to 86400"]),
        ("[limits]\nreserve_requests = 5000", ["limits.reserve_requests = 5000", "less than photo_requests"]),
        ("[limits]\nreturn_requests = 9\nreserve_requests = 9", ["reserve_requests = 9", "return_requests (9)"]),
        ("[sync]\nrefresh_hours = 0", ["sync.refresh_hours = 0", "above 0 to 8760"]),
        ("[sync]\nrefresh_hours = false", ["sync.refresh_hours = false"]),
        ("[sync]\noverlap_days = -1", ["sync.overlap_days = -1", "0 to 3650"]),
        ("[sync]\nfirst_sync_from = 'spring'", ["sync.first_sync_from = 'spring'", "date"]),
        ("[archive]\nmin_free_bytes = -1", ["archive.min_free_bytes = -1", "0 or more"]),
        ("[archive]\ndirectory = 7", ["archive.directory = 7", "path"]),
        ("[archive]\ndirectory = '~no-such-user/x'", ["archive.directory = '~no-such-user/x'", "user"]),
        ('[archive]\ndirectory = "a\\u0000b"', ["archive.directory", "path"]),
        ("[campaigns]\nids = 101", ["campaigns.ids = 101", "[101, 102]"]),
        ("[campaigns]\nids = [0]", ["campaigns.ids.0 = 0", "1 or more"]),
        ("[campaigns]\nids = [true]", ["campaigns.ids.0 = true", "1 or more"]),
        ("[campaigns]\nids = ['x']", ["campaigns.ids.0 = 'x'", "1 or more"]),
        (f"[campaigns]\nids = [{2**63}]", [f"campaigns.ids.0 = {2**63}"]),
        ("[api]\nbase_url = 'ftp://host'", ["api.base_url = 'ftp://host'", "https://host"]),
        ("[api]\nbase_url = 'https://ho st'", ["api.base_url = 'https://ho st'", "https://host"]),
        ("[archive]\nendpoint = 'https://ho%st'", ["archive.endpoint = 'https://ho%st'", "https://host"]),
        ("[archive]\nurl = 's3://bu cket/m'", ["archive.url = 's3://bu cket/m'", "s3://bucket/prefix"]),
        ("[api]\nbase_url = 'https://'", ["api.base_url = 'https://'"]),
        ("[api]\nbase_url = 'https://h:99999'", ["api.base_url = 'https://h:99999'"]),
        ("[api]\nbase_url = 'http://example.com'", ["must be https"]),
        ("[api]\nbase_url = 'https://me:secret@h'", ["without user"]),
        ("[api]\nbase_url = 'https://:secret@h'", ["password"]),
        ("[api]\nbase_url = 'https://h/?x=1'", ["query"]),
        ("[limits]\nphotos = 1", ["limits.photos: there is no such setting"]),
        ("[limits]\nphoto_request = 1", ["no such setting; did you mean photo_requests in [limits]?"]),
        ("[api]\nphoto_requests = 1", ["no such setting; did you mean photo_requests in [limits]?"]),
        ("[archiv]\ndirectory = 'x'", ["archiv: there is no such setting; did you mean [archive]?"]),
        ("directory = 'x'", ["directory: there is no such setting; did you mean directory in [archive]?"]),
        ("[archive]\ndirectory = 7", ["directory = 7: must be a path in quotes"]),
        ("[limits]\nphoto_requests = '7x'", ["photo_requests = '7x': must be a whole number; allowed: 1 to"]),
        ("[limits]\nphoto_requests = 1.5", ["photo_requests = 1.5: must be a whole number; allowed: 1 to"]),
        ("[limits]\nparallel_requests = 9", ["parallel_requests = 9: is too large; allowed: 1 to 4"]),
        ("[limits]\nperiod_seconds = 'x'", ["period_seconds = 'x': must be a number; allowed: "]),
        ("[sync]\nfirst_sync_from = 'spring'", ["first_sync_from = 'spring': must be a date like 2024-01-31"]),
        ("[api]\nbase_url = 7", ["base_url = 7: must be a text in quotes"]),
        ("[campaigns]\nids = 101", ["ids = 101: must be a list; allowed: a list"]),
        ("[limit]\nphotos = 1", ["limit: there is no such setting"]),
        ("_env_prefix = 'X'", ["_env_prefix: there is no such setting"]),
        ("limits = 7", ["limits must be a section"]),
        ("[[limits]]\nphoto_requests = 7", ["limits must be a section"]),
        ("[limits]\nx = ?", ["not valid TOML", "line 2"]),
        ("x = " + "1" * 5000, ["not valid TOML"]),
        ("x = " + "[" * 5000, ["not valid TOML"]),
        (f"[archive]\ndirectory = [{'1, ' * 5000}]", ["archive.directory", "…"]),
    ],
)
def test_a_wrong_value_is_named_with_file_key_and_range(tmp_path: Path, text: str, expected: list[str]) -> None:
    path = written(tmp_path, text)
    error = refused(path)
    assert str(path) in error
    assert [part for part in expected if part not in error] == []
    assert len(error) < 600


def test_all_wrong_values_are_named_at_once(tmp_path: Path) -> None:
    error = refused(written(tmp_path, "[limits]\nparallel_requests = 9\nfoo = 1\n[sync]\noverlap_days = -1\n[bar]\n"))
    for part in ("4 setting(s)", "limits.parallel_requests", "limits.foo", "sync.overlap_days", "bar"):
        assert part in error


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    assert "no such file" in refused(tmp_path / "none.toml")
    assert "cannot be read" in refused(tmp_path)
    latin = tmp_path / "latin.toml"
    latin.write_bytes("# Путь".encode("cp1251"))
    assert "not UTF-8" in refused(latin)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("MARKET_PHOTOS_LIMITS_PHOTO_REQUESTS", "30", 30),
        ("market_photos_limits_photo_requests", "30", 30),
        ("MARKET_PHOTOS_LIMITS_PHOTO_REQUESTS", "", 20),
        ("MARKET_PHOTOS_LIMITS_RETURN_REQUESTS", "30", 20),
    ],
)
def test_the_environment_overrides_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: int
) -> None:
    """Each variable overrides one setting; an empty variable has no effect."""
    monkeypatch.setenv(name, value)
    assert load(written(tmp_path, "[limits]\nphoto_requests = 20")).limits.photo_requests == expected


@pytest.mark.parametrize(
    ("value", "ids"),
    [("101", (101,)), ("101,102", (101, 102)), ("[101, 102]", (101, 102)), ('["101"]', (101,)), ("[]", ()), ("", ())],
)
def test_stores_in_the_environment_are_a_plain_list(
    monkeypatch: pytest.MonkeyPatch, value: str, ids: tuple[int, ...]
) -> None:
    monkeypatch.setenv("MARKET_PHOTOS_CAMPAIGNS_IDS", value)
    assert load(None).campaigns.ids == ids


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("MARKET_PHOTOS_LIMITS_PARALLEL_REQUESTS", "9", ["limits.parallel_requests = '9'", "1 to 4"]),
        ("MARKET_PHOTOS_CAMPAIGNS_IDS", "101,x", ["campaigns.ids.1 = 'x'"]),
        ("MARKET_PHOTOS_LIMITS", "9", ["limits"]),
        ("MARKET_PHOTOS_LIMITS", "x", ["section"]),
    ],
)
def test_a_wrong_variable_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: list[str]
) -> None:
    """The error names the variable, as the value is not in the file."""
    monkeypatch.setenv(name, value)
    error = refused(None)
    assert [part for part in [name, *expected] if part not in error] == []


def test_an_unknown_setting_in_the_environment_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARKET_PHOTOS_LIMITS_FOO", "1")
    assert "limits.foo: there is no such setting" in refused(None)


def test_paths_in_the_file_are_relative_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cron's working directory does not matter; a path from the environment is the shell's, `~` is the home."""
    folder = tmp_path / "etc"
    folder.mkdir()
    path = written(folder, "[archive]\ndirectory = 'data/photos'\n[api]\nkey_file = 'key'")
    assert load(path).archive.directory == folder / "data/photos"
    assert load(path).api.key_file == folder / "key"
    assert load(Path("etc/config.toml")).archive.directory == folder / "data/photos"
    monkeypatch.setenv("MARKET_PHOTOS_ARCHIVE_DIRECTORY", "elsewhere")
    monkeypatch.setenv("MARKET_PHOTOS_API_KEY_FILE", "~/key")
    assert load(path).archive.directory == Path("elsewhere")
    assert load(path).api.key_file == tmp_path / "home" / "key"
    monkeypatch.setenv("MARKET_PHOTOS_ARCHIVE_DIRECTORY", "")
    assert load(path).archive.directory == folder / "data/photos"
    assert load(written(folder, "[archive]\ndirectory = '~/p'")).archive.directory == tmp_path / "home" / "p"


def test_the_option_comes_before_the_environment_and_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The option, else the environment, else ./config.toml where there is one."""
    with monkeypatch.context() as environment:
        environment.setenv("MARKET_PHOTOS_ARCHIVE_DIRECTORY", "elsewhere")
        assert find_config(None) is None
    written(tmp_path, "")
    assert find_config(None) == Path("config.toml")
    monkeypatch.setenv("MARKET_PHOTOS_CONFIG", "/named/by/environment")
    assert find_config(None) == Path("/named/by/environment")
    assert find_config(Path("/option")) == Path("/option")


@pytest.mark.parametrize("name", ["", "MARKET_PHOTOS_API_KEY"])
def test_without_a_configuration_the_file_that_was_looked_for_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The key alone says nothing of the archive: a command in the wrong folder must not begin one there."""
    if name:
        monkeypatch.setenv(name, KEY)
    with pytest.raises(ConfigError, match=str(tmp_path / "config.toml")) as caught:
        find_config(None)
    assert caught.value.exit_code is ExitCode.USAGE
    assert "market-photos init" in caught.value.hint


@pytest.mark.parametrize("around", ["{}", "{}\n", "{}\r\n", "  {}\n\n", "\ufeff{}\n"])
def test_the_key_is_stripped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, around: str) -> None:
    """An editor's last line break is no part of the key, in a file or a variable; the variable comes first."""
    content = around.format(KEY)
    assert key_file(tmp_path, content.encode()).api_key() == KEY
    monkeypatch.setenv("MARKET_PHOTOS_API_KEY", content.removeprefix("\ufeff"))
    assert key_file(tmp_path, b"another").api_key() == KEY
    monkeypatch.setenv("MARKET_PHOTOS_API_KEY", " ")
    assert key_file(tmp_path, b"another").api_key() == "another"


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o610, 0o660, 0o777])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    """Also one that they could replace; the command that mends it is given."""
    with pytest.raises(ConfigError, match="other users") as caught:
        key_file(tmp_path, KEY.encode(), mode).api_key()
    assert caught.value.hint == f"Run: chmod 600 {tmp_path / 'key'}"
    for private in (0o600, 0o400):
        assert key_file(tmp_path, KEY.encode(), private).api_key() == KEY


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b" \n",
        f"{KEY} {KEY}".encode(),
        f"{KEY}\nX: y".encode(),
        f"{KEY}\x00".encode(),
        f"{KEY}ж".encode(),
        f"# my key\n{KEY}".encode(),
        f"{KEY}\xff".encode("latin-1"),
    ],
)
def test_a_malformed_key_is_refused_without_being_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    """A line break in a header would be an attack or a mistake; no part of the content is shown."""
    with pytest.raises(ConfigError) as caught:
        key_file(tmp_path, content).api_key()
    assert str(tmp_path / "key") in caught.value.message
    assert KEY[5:12] not in f"{caught.value.message} {caught.value.hint}"


def test_a_missing_key_is_explained(tmp_path: Path) -> None:
    """What to do is said; a missing key file is named."""
    with pytest.raises(ConfigError, match="No API key") as caught:
        load(None).api_key()
    assert "MARKET_PHOTOS_API_KEY" in caught.value.hint
    with pytest.raises(ConfigError, match="none"):
        load(written(tmp_path, "[api]\nkey_file = 'none'")).api_key()


@pytest.mark.parametrize(
    ("text", "variables"),
    [
        (f"[api]\nkey = '{KEY}'", {}),
        (f"[api]\nkeys = '{KEY}'", {}),
        (f"[api]\nkey_file = '{KEY}'", {}),
        (f"[api]\nbase_url = '{KEY}'", {}),
        (f"[api]\nbase_url = 'https://{KEY}@host'", {}),
        (f"[api]\n'{KEY}' = 1", {}),
        (f"'{KEY}' = 1", {}),
        (f"'_{KEY}' = 1", {}),
        (f"api = '{KEY}'", {}),
        (f"[campaigns]\nids = ['{KEY}']", {}),
        (f"[api]\nkey_file = ['{KEY}']", {}),
        (f"[api.key_file]\nx = '{KEY}'", {}),
        (f"[api]\nkey = {KEY}", {}),
        ("[api", {"MARKET_PHOTOS_API_KEY": KEY}),
        ("[api]\nfoo = 1", {"MARKET_PHOTOS_API_KEY": KEY}),
        ("", {"MARKET_PHOTOS_API": KEY}),
        ("", {"MARKET_PHOTOS_API": f'"{KEY}"'}),
        ("", {"MARKET_PHOTOS_API": f'{{"key": ["{KEY}"]}}'}),
        ("", {"MARKET_PHOTOS_API_KEY": f"{KEY} {KEY}"}),
        ("", {"MARKET_PHOTOS_API_KEY_FILE": KEY}),
    ],
)
def test_the_key_is_never_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, variables: dict[str, str]
) -> None:
    """This holds for a key in the wrong place, and beside other errors."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as caught:
        load(written(tmp_path, text)).api_key()
    shown = f"{caught.value!r} {caught.value} {caught.value.hint}"
    assert KEY[5:12] not in shown
    assert KEY[-8:] not in shown


def test_settings_do_not_show_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a traceback or a log of them."""
    monkeypatch.setenv("MARKET_PHOTOS_API_KEY", KEY)
    assert KEY not in f"{load(None)!r} {load(None)}"
    assert load(None).api_key() == KEY


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("archive.url", "s3://AKIA:wJalr/secret+x@bucket-one/market", "'s3://(not shown)@bucket-one/market'"),
        ("archive.url", "s3://AKIA@bucket-one", "'s3://(not shown)@bucket-one'"),
        ("archive.url", "s3://:secret@bucket-one", "'s3://(not shown)@bucket-one'"),
        ("archive.url", "AKIA:secret@bucket-one", "'(not shown)@bucket-one'"),
        ("archive.endpoint", "https://me:secret@host:port", "'https://(not shown)@host:port'"),
        ("archive.endpoint", "https://[me:secret@host", "'https://(not shown)@host'"),
        ("api.base_url", "https://me:se@cret@host", "'https://(not shown)@host'"),
        ("report.ping_url", "me:secret@host", "(not shown)"),
    ],
)
def test_a_refused_address_is_shown_without_user_and_password(
    tmp_path: Path, name: str, value: str, shown: str
) -> None:
    section, _, key = name.partition(".")
    told = refused(written(tmp_path, f'[{section}]\n{key} = "{value}"'))
    assert f"{name} = {shown}: " in told
    assert not any(word in told for word in ("secret", "cret", "AKIA", "wJalr"))
