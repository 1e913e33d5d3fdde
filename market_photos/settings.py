"""The sections of the configuration: types, ranges and defaults. config.example.toml explains each setting."""

import datetime as dt
import shlex
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import NoDecode
from yarl import URL

OFFICIAL_URL = "https://api.partner.market.yandex.ru"
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}


def _checked_url(value: str) -> str:
    url = URL(value.strip())
    if url.scheme not in {"https", "http"} or not url.host:
        raise ValueError("must be an address like https://host")
    if url.scheme == "http" and url.host not in _LOOPBACK:
        raise ValueError("must be https, or the key would travel in the clear (http is for this machine only)")
    if url.user or url.password or url.query or url.fragment:
        raise ValueError("must be an address without user, password, query and fragment")
    return str(url).rstrip("/")


def _checked_ping(value: SecretStr) -> SecretStr:
    text = value.get_secret_value().strip()
    if text in {"", "off"}:
        return SecretStr("")
    url = URL(text)
    if url.scheme not in {"https", "http"} or not url.host or url.fragment:
        raise ValueError("must be an address like https://hc-ping.com/your-uuid")
    return SecretStr(text)


def _checked_command(value: str) -> str:
    try:
        shlex.split(value)
    except ValueError as error:
        raise ValueError(f"cannot be split into words: {error}") from None
    return value.strip()


def _expanded(path: Path) -> Path:
    if "\0" in str(path):
        raise ValueError("must be a path")
    try:
        return path.expanduser()
    except RuntimeError:
        raise ValueError("names a user (~) that this machine does not know") from None


def _no_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("must be a number, not true or false")
    return value


def _split(value: Any) -> Any:
    """Split `101,102` or `[101, 102]`, as it is written in the environment."""
    if not isinstance(value, str):
        return value
    text = value.strip("[] ")
    return [part.strip('" ') for part in text.split(",")] if text else []


def _each_once(ids: tuple[int, ...]) -> tuple[int, ...]:
    # A store named twice would wait for its own lock.
    return tuple(dict.fromkeys(ids))


def _file_name(name: str) -> str:
    if not name or "/" in name or "\0" in name or name in {".", ".."}:
        raise ValueError("must be the name of a file in the archive's directory, without a path")
    return name


LocalPath = Annotated[Path, AfterValidator(_expanded)]
Whole = Annotated[int, BeforeValidator(_no_bool)]
CampaignId = Annotated[Whole, Field(ge=1, le=2**63 - 1)]
Number = Annotated[float, BeforeValidator(_no_bool)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Api(_Section):
    """How to reach the API."""

    base_url: Annotated[str, AfterValidator(_checked_url)] = OFFICIAL_URL
    key_file: LocalPath | None = None
    key: SecretStr | None = None
    read_timeout_seconds: Number = Field(30, ge=1, le=600)


class Campaigns(_Section):
    """Which stores to sync."""

    ids: Annotated[tuple[CampaignId, ...], NoDecode, BeforeValidator(_split), AfterValidator(_each_once)] = ()


class Archive(_Section):
    """Where the archive is."""

    directory: LocalPath = Path("archive")
    min_free_bytes: Whole | None = Field(None, ge=0)
    marker: Annotated[str, AfterValidator(_file_name)] | None = None


class Limits(_Section):
    """Requests to the API."""

    parallel_requests: Whole = Field(3, ge=1, le=4)
    photo_requests: Whole = Field(5000, ge=1, le=1_000_000)
    return_requests: Whole = Field(5000, ge=1, le=1_000_000)
    period_seconds: Number = Field(3600, ge=0.1, le=86_400)
    reserve_requests: Whole = Field(0, ge=0, le=1_000_000)

    @field_validator("reserve_requests")
    @classmethod
    def _leaves_something(cls, reserve: int, others: ValidationInfo) -> int:
        # A reserve as large as a quota would leave no request.
        quotas = [others.data[name] for name in ("photo_requests", "return_requests") if name in others.data]
        if any(reserve >= quota for quota in quotas):
            raise ValueError(f"must be less than photo_requests and return_requests ({min(quotas)})")
        return reserve


class Sync(_Section):
    """Which returns to list."""

    overlap_days: Whole = Field(7, ge=0, le=3650)
    first_sync_from: dt.date | None = None
    refresh_hours: Number = Field(3, gt=0, le=24 * 365)


class Report(_Section):
    """Where to report runs."""

    ping_url: Annotated[SecretStr, AfterValidator(_checked_ping)] = SecretStr("")
    on_finish: Annotated[str, AfterValidator(_checked_command)] = ""
    on_finish_seconds: Number = Field(60, ge=1, le=3600)
    metrics_file: LocalPath | None = None
