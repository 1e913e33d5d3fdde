"""Settings: a TOML file, overridden by the environment, checked before anything is done.

Each setting is explained in config.example.toml. `load` is the only way in.
"""

import datetime as dt
import os
import stat
import tomllib
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from market_photos.errors import ConfigError

ENV_PREFIX = "MARKET_PHOTOS_"
ENV_CONFIG = f"{ENV_PREFIX}CONFIG"
ENV_KEY = f"{ENV_PREFIX}API_KEY"
OFFICIAL_URL = "https://api.partner.market.yandex.ru"
_SEE_EXAMPLE = "See config.example.toml for every option."
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}


def _checked_url(value: str) -> str:
    from yarl import URL  # noqa: PLC0415 - `--help` need not wait for it

    url = URL(value.strip())
    if url.scheme not in {"https", "http"} or not url.host:
        raise ValueError("must be an address like https://host")
    if url.scheme == "http" and url.host not in _LOOPBACK:
        raise ValueError("must be https, or the key would travel in the clear (http is for this machine only)")
    if url.user or url.query or url.fragment:
        raise ValueError("must be scheme, host and port only")
    return str(url).rstrip("/")


def _expanded(path: Path) -> Path:
    return path.expanduser()


LocalPath = Annotated[Path, AfterValidator(_expanded)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Api(_Section):
    base_url: Annotated[str, AfterValidator(_checked_url)] = OFFICIAL_URL
    key_file: LocalPath | None = None
    key: SecretStr | None = None
    read_timeout_seconds: float = Field(30, ge=1, le=600)


class Campaigns(_Section):
    ids: tuple[Annotated[int, Field(ge=1, le=2**63 - 1)], ...] = ()


class Archive(_Section):
    directory: LocalPath = Path("archive")
    min_free_bytes: int | None = Field(None, ge=0)


class Limits(_Section):
    parallel_requests: int = Field(3, ge=1, le=4)
    photo_requests: int = Field(5000, ge=1, le=1_000_000)
    return_requests: int = Field(5000, ge=1, le=1_000_000)
    period_seconds: float = Field(3600, ge=0.1, le=86_400)
    reserve_requests: int = Field(0, ge=0, le=1_000_000)


class Sync(_Section):
    overlap_days: int = Field(7, ge=0, le=3650)
    first_sync_from: dt.date | None = None
    refresh_hours: float = Field(3, gt=0, le=24 * 365)


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="_",
        env_nested_max_split=1,
        extra="forbid",
        frozen=True,
    )

    api: Api = Api()
    campaigns: Campaigns = Campaigns()
    archive: Archive = Archive()
    limits: Limits = Limits()
    sync: Sync = Sync()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return env_settings, init_settings

    def api_key(self) -> str:
        """The key, stripped.

        Raises ConfigError where there is none, where its file cannot be read or can be read by others.
        """
        if self.api.key is not None and self.api.key.get_secret_value().strip():
            return _checked_key(self.api.key.get_secret_value(), ENV_KEY)
        if self.api.key_file is None:
            raise ConfigError(
                "No API key is configured.",
                f"Set {ENV_KEY}, or key_file in [api]. A key is made in the seller's cabinet: "
                "Settings, API and modules; the scope 'inventory-and-order-processing:read-only' is enough.",
            )
        return _checked_key(_private_text(self.api.key_file), str(self.api.key_file))


def find_config(option: Path | None) -> Path | None:
    """The file to read: the option, else $MARKET_PHOTOS_CONFIG, else ./config.toml where there is one."""
    if option is not None:
        return option
    if named := os.environ.get(ENV_CONFIG):
        return Path(named)
    return Path("config.toml") if Path("config.toml").exists() else None


def load(path: Path | None) -> Settings:
    """Settings from `path` (None: no file) and the environment.

    Relative paths in the file are relative to the file, so that cron's working directory does not matter.
    Raises ConfigError with file, key, value and the allowed range, for all that is wrong at once.
    """
    content = _read_toml(path) if path else {}
    if "key" in (content.get("api") or {}):
        raise ConfigError(
            f"{path}: api.key must not stand in the configuration file.",
            f"Put the key into a file of its own (chmod 600), named by key_file, or into {ENV_KEY}.",
        )
    try:
        settings = Settings(**content)
    except ValidationError as error:
        raise ConfigError(_explain(error, path), _SEE_EXAMPLE) from None
    except SettingsError as error:
        raise ConfigError(
            f"environment: {error}.", "Lists are written as JSON there: MARKET_PHOTOS_CAMPAIGNS_IDS='[101, 102]'."
        ) from None
    return _anchored(settings, path)


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file.", "Copy config.example.toml to start from.") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not UTF-8 text.", "Save it as UTF-8.") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: is not valid TOML: {error}.", "Texts need quotes, sections [brackets].") from None
    for section, value in content.items():
        if section in Settings.model_fields and not isinstance(value, dict):
            raise ConfigError(f"{path}: {section} must be a section, [{section}], not a value.")
    return content


def _explain(error: ValidationError, path: Path | None) -> str:
    lines = [_explain_one(detail) for detail in error.errors()]
    return f"{path or 'environment'}: {len(lines)} setting(s) cannot be used:\n" + "\n".join(lines)


def _explain_one(detail: ErrorDetails) -> str:
    key = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "extra_forbidden":
        return f"  {key}: there is no such setting"
    value = "(not shown)" if "key" in detail["loc"] else repr(detail["input"])
    problem = detail["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return f"  {key} = {value}{_origin(detail)}: {problem}{_allowed(detail)}"


def _origin(detail: ErrorDetails) -> str:
    variable = ENV_PREFIX + "_".join(str(part) for part in detail["loc"][:2]).upper()
    return f" (from {variable})" if variable in os.environ else ""


def _allowed(detail: ErrorDetails) -> str:
    """`; allowed: 1 to 4` where the setting is a number with bounds."""
    section, name = (*detail["loc"], "", "")[:2]
    annotation = Settings.model_fields[str(section)].annotation
    field = getattr(annotation, "model_fields", {}).get(name)
    bounds = {type(item).__name__: item for item in field.metadata} if field else {}
    if "Le" in bounds:
        low = bounds["Ge"].ge if "Ge" in bounds else "above 0"
        return f"; allowed: {low} to {bounds['Le'].le}"
    return "; allowed: 0 or more" if "Ge" in bounds else ""


def _anchored(settings: Settings, path: Path | None) -> Settings:
    """Relative paths that stand in the file are meant from the file's own folder."""
    if path is None:
        return settings
    base = path.resolve().parent
    archive, api = settings.archive, settings.api
    if f"{ENV_PREFIX}ARCHIVE_DIRECTORY" not in os.environ:
        archive = archive.model_copy(update={"directory": base / archive.directory})
    if api.key_file is not None and f"{ENV_PREFIX}API_KEY_FILE" not in os.environ:
        api = api.model_copy(update={"key_file": base / api.key_file})
    return settings.model_copy(update={"archive": archive, "api": api})


def _private_text(path: Path) -> str:
    try:
        readable_by_others = stat.S_IMODE(path.stat().st_mode) & 0o077
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"key_file {path}: cannot be read: {error.strerror}.", "Check the path.") from None
    except UnicodeDecodeError:
        raise ConfigError(f"key_file {path}: is not text.", "It must hold the key and nothing else.") from None
    if readable_by_others:
        raise ConfigError(f"key_file {path}: other users of this machine can read it.", f"Run: chmod 600 {path}")
    return text


def _checked_key(text: str, source: str) -> str:
    key = text.strip()
    if not key:
        raise ConfigError(f"{source}: is empty.", "It must hold the key and nothing else.")
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ConfigError(
            f"{source}: holds more than a key (a space, a line break or a character that no key has).",
            "It must hold the key and nothing else, like ACMA:…:….",
        )
    return key
