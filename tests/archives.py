"""Build archives without a run: catalogue rows and files, small and as odd as a test needs."""

import hashlib
import io
import re
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

from PIL import Image

from market_photos.archive import layout
from market_photos.archive.catalog.catalog import Catalog
from market_photos.archive.catalog.photos import Archived, Claim
from market_photos.archive.files import Opened
from market_photos.archive.folder import FolderArchive
from market_photos.archive.place import Archive
from market_photos.clock import Moment
from market_photos.errors import ExitCode
from market_photos.model import PhotoKey, Return, ReturnRef
from market_photos.settings import Archive as ArchiveSettings

JPEG = b"\xff\xd8\xff\xe0 a picture \xff\xd9"
NOW = 1_790_000_000
DAY = 86_400
#: Causes an alert, a broken page or a wrong file name wherever a text is not escaped.
HOSTILE = """<script>alert(1)</script>"'><img src=x onerror=alert(2)>{{7919*7907}}</textarea>\u202e../../x"""


class FixedClock:
    def __init__(self, wall: float = NOW) -> None:
        self.wall = wall

    def now(self) -> Moment:
        return Moment(self.wall, "boot", self.wall)


def picture(kind: str = "JPEG", size: tuple[int, int] = (64, 48), color: str = "#b5651d") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, color).save(out, kind)
    return out.getvalue()


@cache
def progressive(width: int, height: int, *, scans: int) -> bytes:
    """Return a valid JPEG of ten scans, the last of which comes `scans` times more."""
    out = io.BytesIO()
    Image.new("RGB", (width, height), "#b5651d").save(out, "JPEG", progressive=True, quality=50)
    before, scan, end = re.fullmatch(rb"(.*)(\xff\xda.*)(\xff\xd9)", out.getvalue(), re.DOTALL).groups()  # type: ignore[union-attr]
    return before + scan * (scans + 1) + end


def large_jpeg(width: int, height: int) -> bytes:
    """Return a photo with one scan, as phones write it; width and height are multiples of 16."""
    out = io.BytesIO()
    Image.linear_gradient("L").resize((width, height)).convert("RGB").save(out, "JPEG", quality=50)
    return out.getvalue()


class ArchiveOf:
    """One store of an archive.

    back = store.add(photos=2, comment="скол")
    store.bring(back)                      # its photos are archived, as files too
    store.add_photos(500, 41, [{"hash": "aa"}, {"hash": "bb", "state": "gone"}])
    """

    def __init__(self, archive: Path, campaign: int = 101, name: str = "Чайная лавка") -> None:
        self.archive = archive
        self.campaign = campaign
        self.folder = layout.store_folder(archive, campaign)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.clock = FixedClock()
        self._next = 0
        with self.catalog() as catalog:
            catalog.returns.set_meta("name", name)

    def catalog(self) -> Catalog:
        return Catalog(self.folder, self.campaign, self.clock)

    def add(
        self,
        photos: int = 1,
        *,
        order: int | None = None,
        return_id: int | None = None,
        comment: Any = "Царапина во всю крышку",
        sku: Any = "чайник-1.7л",
        reason: Any = "BAD_QUALITY",
        decision: Any = "REFUND_MONEY",
        refund: Any = "REFUNDED",
        created_at: int | None = None,
        hashes: Sequence[str] = (),
        record: dict[str, Any] | None = None,
    ) -> Return:
        self._next += 1
        number, campaign = self._next, self.campaign
        order = 500_000_000 + number if order is None else order
        return_id = 40_000_000 + number if return_id is None else return_id
        item = 70_000_000 + number
        images = list(hashes) or [
            hashlib.sha1(f"{campaign}/{number}/{n}".encode()).hexdigest() for n in range(photos)
        ]
        told = {
            "returnItemId": item,
            "comment": comment,
            "reasonType": reason,
            "decisionType": decision,
            "images": images,
        }
        full = {
            "id": return_id,
            "orderId": order,
            "creationDate": "2026-09-20T14:05:00+03:00",
            "updateDate": "2026-09-21T10:00:00.5+03:00",
            "refundStatus": refund,
            "items": [{"shopSku": sku, "marketSku": 900_000 + number, "count": 1, "decisions": [told]}],
        }
        back = Return(
            campaign=campaign,
            order=order,
            id=return_id,
            created="2026-09-20T14:05:00+03:00",
            created_at=NOW - DAY * number if created_at is None else created_at,
            updated="",
            record=full if record is None else record,
            photos=tuple(PhotoKey(campaign, order, return_id, item, image) for image in images),
        )
        with self.catalog() as catalog:
            catalog.returns.record_page([back])
        return back

    def bring(
        self, back: Return, *bodies: bytes, content_type: str = "image/jpeg", suffix: str = ".jpg"
    ) -> list[Path]:
        """Archive the pending photos of the return, one body each; the last body serves all others."""
        paths = []
        with self.catalog() as catalog:
            for n, claim in enumerate(_claims(catalog, back)):
                body = (bodies or (picture(),))[min(n, len(bodies or (b"",)) - 1)]
                paths.append(self._archive(catalog, claim, body, content_type, suffix))
        return paths

    def _archive(self, catalog: Catalog, claim: Claim, body: bytes, content_type: str, suffix: str) -> Path:
        path = self.folder / layout.photo_path(claim.month, claim.key, suffix)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
        digest = hashlib.sha256(body).digest()
        catalog.photos.record_archived(claim, Archived(suffix, len(body), digest, content_type, ""))
        return path

    def add_photos(
        self, order: int, return_id: int, photos: Sequence[dict[str, Any]] = (), **fields: Any
    ) -> list[Path]:
        """Add a return with photos in any state; return the files of the archived ones.

        A photo has a `hash`, and optionally `state`, `suffix`, `body`, `note` and `type`.
        """
        hashes = [photo["hash"] for photo in photos]
        back = self.add(len(photos), order=order, return_id=return_id, hashes=hashes, **fields)
        paths = []
        with self.catalog() as catalog:
            for photo, claim in zip(photos, _claims(catalog, back), strict=True):
                state, note = photo.get("state", "archived"), photo.get("note", "")
                if state == "archived":
                    suffix, content_type = photo.get("suffix", ".jpg"), photo.get("type", "image/jpeg")
                    paths.append(self._archive(catalog, claim, photo.get("body", JPEG), content_type, suffix))
                elif state == "gone":
                    catalog.photos.record_gone(claim, note)
                elif state == "failed":
                    catalog.photos.record_failed(claim, note)
        self.execute(
            "UPDATE photos SET state = 'pruned', note = ? WHERE image_hash = ?",
            *((photo.get("note"), photo["hash"]) for photo in photos if photo.get("state") == "pruned"),
        )
        return paths

    def execute(self, sql: str, *rows: tuple[Any, ...]) -> None:
        """Change the catalogue in a way that the program never does."""
        with closing(sqlite3.connect(self.folder / layout.CATALOG_NAME)) as connection, connection:
            connection.executemany(sql, rows)

    def lose(self, back: Return, reason: str = "404") -> None:
        with self.catalog() as catalog:
            for claim in _claims(catalog, back):
                catalog.photos.record_gone(claim, reason)

    def fail(self, back: Return, reason: str) -> None:
        with self.catalog() as catalog:
            for claim in _claims(catalog, back):
                catalog.photos.record_failed(claim, reason)

    def ran(self, summary: dict[str, Any], code: ExitCode, *, command: str = "sync", seconds: int = 90) -> None:
        """Record a run that began now and took `seconds`."""
        with self.catalog() as catalog:
            run = catalog.runs.begin(command)
            self.clock.wall += seconds
            catalog.runs.end(run, code, summary)
            self.clock.wall -= seconds


def _claims(catalog: Catalog, back: Return) -> list[Claim]:
    found: list[Claim] = []
    while claim := catalog.photos.claim(ReturnRef(back.order, back.id)):
        found.append(claim)
    return found


def stem(back: Return, n: int = 0) -> str:
    return layout.photo_stem(back.photos[n])


def photo_address(what: str, back: Return, n: int = 0) -> str:
    return f"/{what}/{back.campaign}/{back.order}/{back.id}/{stem(back, n)}"


def opened(file: Path) -> Opened:
    """Open a file as an archive does."""
    status = file.stat()
    return Opened(file.open("rb", buffering=0), status.st_size, str(status.st_mtime_ns), io.DEFAULT_BUFFER_SIZE)


def folder_at(directory: Path) -> Archive:
    """Return the archive in a folder."""
    return FolderArchive(ArchiveSettings(directory=directory))
