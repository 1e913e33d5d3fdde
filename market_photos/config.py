"""Load the settings from a TOML file and the environment, which has priority, and check all of them.

settings.py explains each setting.
"""

import difflib
import os
import re
import stat
import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from market_photos.errors import ConfigError
from market_photos.settings import Api, Archive, Browse, Campaigns, Limits, Report, Sync, allowed_range
from market_photos.text import without_password

ENV_PREFIX = "MARKET_PHOTOS_"
ENV_CONFIG = f"{ENV_PREFIX}CONFIG"
ENV_KEY = f"{ENV_PREFIX}API_KEY"
_SEE_EXAMPLE = "`market-photos config --example` explains every setting."
_SECRETS = {"key", "ping_url"}
#: A key in the wrong place is not shown either.
_KEY_LIKE = re.compile(r"ACMA(?::|%(?:25)*3A)[^\s'\"/]*", re.IGNORECASE)
#: What is wrong, by the beginning of pydantic's name for it; a validator of settings.py says it itself.
_WORDS = {
    "int": "must be a whole number",
    "float": "must be a number",
    "finite_number": "must be a number",
    "string": "must be a text in quotes",
    "path": "must be a path in quotes",
    "date": "must be a date like 2024-01-31",
    "tuple": "must be a list",
    "model": "must be a section",
    "greater_than": "is too small",
    "less_than": "is too large",
}
#: Characters of a wrong value that an error shows.
_SHOWN = 60


class Settings(BaseSettings):
    """All settings, checked."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="_",
        env_nested_max_split=1,
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
    )

    api: Api = Api()
    campaigns: Campaigns = Campaigns()
    archive: Archive = Archive()
    limits: Limits = Limits()
    sync: Sync = Sync()
    report: Report = Report()
    browse: Browse = Browse()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources, the one with priority first."""
        return env_settings, init_settings

    def api_key(self) -> str:
        """Return the API key.

        Raises ConfigError if there is none, or if its file cannot be read, or other users can read it.
        """
        if self.api.key is not None and self.api.key.get_secret_value().strip():
            return checked_key(self.api.key.get_secret_value(), ENV_KEY)
        if self.api.key_file is None:
            raise ConfigError(
                "No API key is configured.",
                f"Set {ENV_KEY}, or key_file in [api]. A key is made in the seller's cabinet: "
                "Settings, API and modules; the scope 'inventory-and-order-processing:read-only' is enough.",
            )
        return read_key(self.api.key_file)


def find_config(option: Path | None) -> Path | None:
    """Return the option, else $MARKET_PHOTOS_CONFIG, else ./config.toml if it exists.

    None: the environment alone configures the program. Raises ConfigError if it does not. The key alone is not
    enough, as nothing would say where the archive is.
    """
    if option is not None:
        return option
    if named := os.environ.get(ENV_CONFIG):
        return Path(named)
    if (here := Path("config.toml")).exists():
        return here
    if any(_variable(section, name) for section, name in _names() if name != "key"):
        return None
    raise ConfigError(
        f"There is no configuration: {here.absolute()} does not exist.",
        f"Name the file by --config or {ENV_CONFIG}, or make one with `market-photos init`.",
    )


def _names() -> list[tuple[str, str]]:
    """Return section and name of every setting."""
    return [(section, name) for section, model in Settings.model_construct() for name in type(model).model_fields]


def load(path: Path | None) -> Settings:
    """Return the settings from the file, if any, and the environment.

    Relative paths in the file are relative to the file's folder. Raises ConfigError with file, key, value and the
    allowed range of every wrong setting.
    """
    return _anchored(checked(read_toml(path) if path else {}, path), path)


def checked(content: dict[str, Any], path: Path | None) -> Settings:
    """Return the settings from the content of a file and from the environment. Raises ConfigError as `load` does."""
    if "key" in (content.get("api") or {}):
        raise ConfigError(
            f"{path}: api.key must not stand in the configuration file.",
            f"Put the key into a file of its own (chmod 600), named by key_file, or into {ENV_KEY}.",
        )
    try:
        return Settings(**content)
    except ValidationError as error:
        raise ConfigError(_explain(error, path), _SEE_EXAMPLE) from None
    except SettingsError:
        names = ", ".join(filter(None, map(_variable, Settings.model_fields)))
        raise ConfigError(
            f"environment: {names}: names a section, not a setting.",
            f"Name one setting of it, for instance {ENV_PREFIX}LIMITS_PHOTO_REQUESTS.",
        ) from None


def read_toml(path: Path) -> dict[str, Any]:
    """Return the content of a configuration file. Raises ConfigError."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: there is no such file.",
            "Check the path, or make the file with `market-photos init`.",
        ) from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not UTF-8 text.", "Save it as UTF-8.") from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: is not valid TOML: {error}.", "Texts need quotes, sections [brackets].") from None
    for section, value in content.items():
        if section.startswith("_"):  # pydantic-settings would take it for an option of its own
            raise ConfigError(f"{path}: {_unknown(section)}.", _SEE_EXAMPLE)
        if section in Settings.model_fields and not isinstance(value, dict):
            raise ConfigError(f"{path}: {section} must be a section, [{section}], not a value.")
    return content


def _explain(error: ValidationError, path: Path | None) -> str:
    lines = [_explain_one(detail) for detail in error.errors()]
    return f"{path or 'environment'}: {len(lines)} setting(s) cannot be used:\n" + "\n".join(lines)


def _explain_one(detail: ErrorDetails) -> str:
    key = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "extra_forbidden":
        return f"  {_unknown(key)}"
    value = "(not shown)" if _SECRETS & set(detail["loc"]) else _hidden(_as_toml(detail["input"]))
    kind = next((words for kind, words in _WORDS.items() if detail["type"].startswith(kind)), "")
    problem = kind or detail["msg"].removeprefix("Value error, ")
    return f"  {key} = {value}{_origin(detail)}: {problem}{_allowed(detail)}"


def _unknown(key: str) -> str:
    """Return that there is no such setting, with the name that was probably meant."""
    section, _, name = key.rpartition(".")
    names = {one: f"{one} in [{of}]" for of, one in _names() if (of, one) != ("api", "key")}
    if not section:
        names = {one: f"[{one}]" for one in Settings.model_fields} | names
    here = [one for of, one in _names() if of == section]
    close = [*difflib.get_close_matches(name, here, 1), *difflib.get_close_matches(name, names, 1)]
    meant = f"; did you mean {names[close[0]]}?" if close and close[0] in names else ""
    return f"{_hidden(key)}: there is no such setting{meant}"


def _as_toml(value: Any) -> str:
    """Return a value as the file has it."""
    return str(value).lower() if isinstance(value, bool) else repr(value)


def _hidden(text: str) -> str:
    """Return the beginning of a text, without anything that looks like a key, or like the password of an address."""
    hidden = without_password(_KEY_LIKE.sub("(a key, not shown)", text))
    return hidden if len(hidden) <= _SHOWN else hidden[:_SHOWN] + "…"


def _origin(detail: ErrorDetails) -> str:
    variable = _variable(*map(str, detail["loc"][:2]))
    return f" (from {variable})" if variable else ""


def _variable(*names: str) -> str:
    """Return the environment variable that sets this; empty if none does."""
    variable = ENV_PREFIX + "_".join(names).upper()
    return next((name for name, value in os.environ.items() if name.upper() == variable and value), "")


def _allowed(detail: ErrorDetails) -> str:
    """Return `; allowed: 1 to 4` for a number with bounds."""
    section, name = (*map(str, detail["loc"]), "", "")[:2]
    if (section, name) == ("campaigns", "ids"):
        return "; allowed: a list of campaign numbers, each 1 or more, [101, 102]"
    field = getattr(Settings.model_fields[section].annotation, "model_fields", {}).get(name)
    allowed = allowed_range(field) if field else ""
    return f"; allowed: {allowed}" if allowed else ""


def _anchored(settings: Settings, path: Path | None) -> Settings:
    """Make relative paths of the file absolute."""
    if path is None:
        return settings
    base = path.resolve().parent
    for section, name in (
        ("archive", "directory"),
        ("archive", "scratch"),
        ("api", "key_file"),
        ("report", "metrics_file"),
        ("browse", "token_file"),
    ):
        part = getattr(settings, section)
        value = getattr(part, name)
        if value is not None and not _variable(section, name):
            settings = settings.model_copy(update={section: part.model_copy(update={name: base / value})})
    return settings


def read_key(path: Path) -> str:
    """Return the key in a file that only its owner can read. Raises ConfigError."""
    return checked_key(_private_text(path), str(path))


def _private_text(path: Path) -> str:
    try:
        readable_by_others = stat.S_IMODE(path.stat().st_mode) & ~_allowed_mode(path) & 0o077
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        name = _KEY_LIKE.sub("(a key, not shown)", str(path))
        hint = "Check the path." if name == str(path) else "key_file names a file that holds the key."
        raise ConfigError(f"key_file {name}: cannot be read: {error.strerror}.", hint) from None
    except UnicodeDecodeError:
        raise ConfigError(f"key_file {path}: is not text.", "It must hold the key and nothing else.") from None
    if readable_by_others:
        raise ConfigError(f"key_file {path}: other users of this machine can read it.", f"Run: chmod 600 {path}")
    return text


def _allowed_mode(path: Path) -> int:
    # systemd's LoadCredential gives the service access by an ACL, whose mask shows as a right of the group.
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    return 0o040 if folder and path.resolve().is_relative_to(Path(folder).resolve()) else 0


def checked_key(text: str, source: str) -> str:
    """Return the key without the space around it; `source` is where the text is from. Raises ConfigError."""
    key = text.strip()
    if not key:
        raise ConfigError(f"{source}: is empty.", "It must hold the key and nothing else.")
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ConfigError(
            f"{source}: holds more than a key (a space, a line break or a character that no key has).",
            "It must hold the key and nothing else, like ACMA:…:….",
        )
    return key
