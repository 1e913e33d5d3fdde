"""Archives made by hand: catalogues with photos in any state, with or without their files."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from market_photos.archive import layout
from market_photos.archive.catalog.record_codec import pack
from market_photos.archive.catalog.schema import open_catalog
from market_photos.model import PhotoKey

JPEG = b"\xff\xd8\xff\xe0 a picture \xff\xd9"


class Archive:
    """`add` puts a return into the store's catalogue, and its archived photos on disk."""

    def __init__(self, root: Path, campaign: int = 101) -> None:
        self.root = root
        self.campaign = campaign
        self.folder = layout.store_folder(root, campaign)
        self.folder.mkdir(parents=True)
        self.connection = open_catalog(self.folder / layout.CATALOG_NAME, campaign)

    def close(self) -> None:
        self.connection.close()

    def add(
        self,
        order: int,
        return_id: int,
        photos: Sequence[dict[str, Any]] = (),
        *,
        comment: str = "Коробка мятая",
        created_at: int = 1_780_000_000,
        record: dict[str, Any] | None = None,
    ) -> list[Path]:
        """A photo: `hash`, and if it is not as usual `state`, `suffix`, `body`, `note`, `type`. Its files."""
        hashes = [photo["hash"] for photo in photos]
        month = "2026-05"
        if record is None:
            record = {
                "id": return_id,
                "orderId": order,
                "creationDate": "2026-05-28T23:26:40+03:00",
                "updateDate": "2026-05-29T10:00:00.5+03:00",
                "refundStatus": "REFUNDED",
                "items": [
                    {
                        "shopSku": "SKU-1",
                        "decisions": [
                            {"returnItemId": 7, "comment": comment, "reasonType": "BAD_QUALITY", "images": hashes}
                        ],
                    }
                ],
            }
        cursor = self.connection.execute(
            "INSERT INTO returns(return_id, order_id, month, created_at, record) VALUES (?, ?, ?, ?, ?)",
            (return_id, order, month, created_at, pack(record)),
        )
        row = cursor.lastrowid or 0
        keys = [PhotoKey(self.campaign, order, return_id, 7, photo["hash"]) for photo in photos]
        files = [self._add_photo(row, key, month, photo) for key, photo in zip(keys, photos, strict=True)]
        return [path for path in files if path]

    def _add_photo(self, row: int, key: PhotoKey, month: str, photo: dict[str, Any]) -> Path | None:
        state, body = photo.get("state", "archived"), photo.get("body", JPEG)
        facts: tuple[Any, ...] = (None, None, None, None)
        path = None
        if state == "archived":
            suffix = photo.get("suffix", ".jpg")
            facts = (suffix, len(body), hashlib.sha256(body).digest(), photo.get("type", "image/jpeg"))
            path = self.folder / layout.photo_path(month, key, suffix)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)
        self.connection.execute(
            "INSERT INTO photos(return_row, item, image_hash, created_at, state, changed_at, suffix, size, sha256, "
            "content_type, note, failures) VALUES (?, ?, ?, 0, ?, 1780000100, ?, ?, ?, ?, ?, ?)",
            (row, key.item, key.image_hash, state, *facts, photo.get("note"), int(state == "failed")),
        )
        return path

    def add_run(self, command: str, exit_code: int | None, ended_at: int | None, summary: str = "{}") -> None:
        self.connection.execute(
            "INSERT INTO runs(command, started_at, ended_at, exit_code, summary) VALUES (?, ?, ?, ?, ?)",
            (command, (ended_at or 0) - 60, ended_at, exit_code, summary),
        )
