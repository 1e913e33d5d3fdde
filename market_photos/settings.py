"""The sections of the configuration: types, ranges, defaults and explanations.

The docstring below a setting explains it to users: `config --example`, config.example.toml and docs/settings.md are
made from it. `examples` holds TOML, for settings without a default.
"""

import datetime as dt
import re
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
from pydantic.fields import FieldInfo
from pydantic_settings import NoDecode
from yarl import URL

OFFICIAL_URL = "https://api.partner.market.yandex.ru"
#: A host, or a bucket.
_HOST = re.compile(r"[\w.:-]+")
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}


def _checked_url(value: str) -> str:
    url = URL(value.strip())
    if url.scheme not in {"https", "http"} or not _HOST.fullmatch(url.host or ""):
        raise ValueError("must be an address like https://host")
    if url.scheme == "http" and url.host not in _LOOPBACK:
        raise ValueError("must be https, or the key would travel in the clear (http is for this machine only)")
    if url.user or url.password or url.query or url.fragment:
        raise ValueError("must be an address without user, password, query and fragment")
    return str(url).rstrip("/")


def _checked_bucket(value: str) -> str:
    url = URL(value.strip())
    if (
        url.scheme != "s3"
        or not _HOST.fullmatch(url.host or "")
        or url.user
        or url.password
        or url.query
        or url.fragment
    ):
        raise ValueError("must be an address like s3://bucket/prefix")
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


def allowed_range(field: FieldInfo) -> str:
    """Return the range of a number, such as `1 to 4` or `0 or more`; empty if it has none."""
    bounds = {type(item).__name__: item for item in field.metadata}
    if "Le" in bounds:
        low = bounds["Ge"].ge if "Ge" in bounds else "above 0"
        return f"{low} to {bounds['Le'].le}"
    return "0 or more" if "Ge" in bounds else ""


LocalPath = Annotated[Path, AfterValidator(_expanded)]
Whole = Annotated[int, BeforeValidator(_no_bool)]
CampaignId = Annotated[Whole, Field(ge=1, le=2**63 - 1)]
Number = Annotated[float, BeforeValidator(_no_bool)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Api(_Section):
    """How to reach the API."""

    base_url: Annotated[str, AfterValidator(_checked_url)] = OFFICIAL_URL
    """The address of the API. For Market Yandex Go: https://api.partner.market.yandex.net. It must be https, except
    for a server on this machine, such as the sandbox."""
    key_file: LocalPath | None = Field(None, examples=['"api-key"'])
    """A file that holds the API key and nothing else. Only its owner may read it: chmod 600. The key can also come
    from MARKET_PHOTOS_API_KEY, but never stands in this file. A key with the access
    "inventory-and-order-processing:read-only" is enough."""
    key: SecretStr | None = None
    read_timeout_seconds: Number = Field(30, ge=1, le=600)
    """Seconds without a single byte after which a request is repeated. The API itself gives up after 10. Set more for
    a connection that stalls."""


class Campaigns(_Section):
    """Which stores to sync."""

    ids: Annotated[tuple[CampaignId, ...], NoDecode, BeforeValidator(_split), AfterValidator(_each_once)] = Field(
        (), examples=["[101, 102]"]
    )
    """The stores by campaignId, to leave others out or to share the stores between machines.

    Without it: every store that the key sees, has the photo method (LAAS stores have none) and is open for the API.
    If the key then no longer sees a store of the archive that has photos to fetch, the run ends with exit code 4."""


class Archive(_Section):
    """Where the photos go."""

    directory: LocalPath = Path("archive")
    """The folder of the archive. The first sync makes it. It must be on a local disk, because catalogues are not safe
    on a network share. A photo takes about 1 MB."""
    url: Annotated[str, AfterValidator(_checked_bucket)] | None = Field(None, examples=['"s3://returns/market"'])
    """A bucket with a prefix, for an archive in object storage that any machine can work on. It replaces directory.
    The storage needs conditional puts. Keys come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or from the
    machine's role, and never stand in this file. It needs the extra s3: pipx install '.[s3]'.

    Without it: the archive is in directory."""
    endpoint: Annotated[str, AfterValidator(_checked_url)] | None = Field(
        None, examples=['"https://storage.yandexcloud.net"']
    )
    """The address of the object storage.

    Without it: AWS."""
    scratch: LocalPath = Path("scratch")
    """With url: a folder on a local disk for the catalogues of this archive alone while a command uses them. It may
    be lost at any time."""
    min_free_bytes: Whole | None = Field(None, ge=0, examples=["1_000_000_000"])
    """A run stops with exit code 5 before less than this many bytes are free on the volume. 0: only when the disk is
    full.

    Without it: 1 000 000 000, or 5 % of the volume if that is less."""
    marker: Annotated[str, AfterValidator(_file_name)] | None = Field(None, examples=['"THIS-IS-THE-ARCHIVE"'])
    """The name of a file that must be in the directory, or nothing is written and the run ends with exit code 5. For
    a volume that may not be mounted: create the file on the volume once, and no run fills the empty mount point.

    Without it: no check."""

    @property
    def catalogs(self) -> Path:
        """The folder of the stores' catalogues, locks and reports on this machine."""
        return self.directory if self.url is None else self.scratch


class Limits(_Section):
    """How many requests a store gets."""

    parallel_requests: Whole = Field(3, ge=1, le=4)
    """Requests in flight at once for a store. The API allows 4 and counts your other programs too, so the default
    leaves one for them. Set 4 if nothing else uses the API, and less if the log shows "parallel" refusals."""
    stores_at_once: Whole = Field(100, ge=1, le=10_000)
    """Stores that one run works on at the same time. The others wait for their turn; those with photos to fetch and
    fresh returns come first. A run takes fewer if a process may open too few files (ulimit -n)."""
    photo_requests: Whole = Field(5000, ge=1, le=1_000_000)
    """Photo requests in any period_seconds for a store. The API allows 5 000 an hour. Set less if another program
    fetches photos of the same store."""
    return_requests: Whole = Field(5000, ge=1, le=1_000_000)
    """Pages of the list of returns in any period_seconds for a store. The API allows 5 000 an hour."""
    period_seconds: Number = Field(3600, ge=0.1, le=86_400)
    """The period of the quotas. The API counts by the hour; change this only to try things on a sandbox."""
    reserve_requests: Whole = Field(0, ge=0, le=1_000_000)
    """Photo requests to leave for your other programs, out of those that the API says are left. It must be less than
    photo_requests and return_requests."""

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
    """Days before the last complete listing that each sync lists again. Buyers add photos late, and the API does not
    say whether that counts as an update."""
    first_sync_from: dt.date | None = Field(None, examples=["2024-01-01"])
    """The first sync of a store lists the returns updated since this day.

    Without it: all returns."""
    refresh_hours: Number = Field(3, gt=0, le=24 * 365)
    """Every so many hours a backfill looks for new returns and fetches their photos first, because you have 48 hours
    to decide on a return."""


class Report(_Section):
    """Who is told how a run went. Only sync and backfill report; fetch and dry runs do not."""

    ping_url: Annotated[SecretStr, AfterValidator(_checked_ping)] = Field(
        SecretStr(""), examples=['"https://hc-ping.com/00000000-0000-0000-0000-000000000000"']
    )
    """An address of a monitor like healthchecks.io. A run requests <url>/start when it begins, <url> when it ends
    with exit code 0, and <url>/fail when it ends with another; the summary is the body. The monitor raises the alarm
    when nothing comes, also when the machine is switched off. A call takes a few seconds at most and follows no
    redirect. If it fails, that is a warning.

    Without it, or with "off": no calls. MARKET_PHOTOS_REPORT_PING_URL=off keeps one run silent."""
    on_finish: Annotated[str, AfterValidator(_checked_command)] = Field(
        "", examples=['"/usr/local/bin/tell-the-shift --channel returns"']
    )
    """A command to run when a run has ended. It gets the report on its standard input, as JSON like that of --json,
    with "command" and "text" added; "newly_awaiting" lists the returns that await your decision since the last run
    (examples/tell-chat.sh sends them to a chat). It is split into words as a shell does; use a script for pipes and
    variables. If it fails, that is a warning. The API key is not in its environment."""
    on_finish_seconds: Number = Field(60, ge=1, le=3600)
    """Seconds after which the command is ended. Set more if it uploads something."""
    metrics_file: LocalPath | None = Field(None, examples=['"/var/lib/node_exporter/market_photos.prom"'])
    """A file for the textfile collector of Prometheus' node_exporter, replaced at the end of each run. The collector
    reads only names that end in .prom."""


class Browse(_Section):
    """Who may see the pages of `browse`."""

    token_file: LocalPath | None = Field(None, examples=['"browse-token"'])
    """A file with the token that every visitor needs, so that it stays when browse starts again. If the file does not
    exist, browse makes it with a new token. Only its owner may read it: chmod 600.

    Without it: browse makes a new token at each start if other machines can reach it, and needs none otherwise."""
