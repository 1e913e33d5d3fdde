"""Catalogues of any size, as a run would have left them, for measuring what must stay flat as an archive grows.

    python bench/make_catalog.py ARCHIVE --photos 1000000 --returns 300000 [--stores 1] [--state archived=0.9 …]

There are rows only, no files. The same arguments make the same catalogue, but for the time of day.
"""

import argparse
import hashlib
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from market_photos.archive.catalog.opening import open_catalog
from market_photos.archive.catalog.record_codec import pack
from market_photos.archive.layout import CATALOG_NAME, store_folder
from market_photos.sandbox import phrases

BATCH = 10_000
DAY = 86_400
DEFAULT_STATES = {"archived": 0.9, "pending": 0.06, "failed": 0.01, "gone": 0.03}


def make_catalog(
    folder: Path,
    *,
    returns: int,
    photos: int,
    days: int = 900,
    states: dict[str, float] | None = None,
    seed: int = 1,
    now: float | None = None,
) -> None:
    """A catalogue in the folder: `photos` spread over `returns` of the last `days`, in `states` by their shares."""
    folder.mkdir(parents=True, exist_ok=True)
    connection = open_catalog(folder / CATALOG_NAME, int(folder.name))
    connection.execute("PRAGMA synchronous = OFF")
    maker = _Maker(random.Random(seed), int(now or time.time()), days, states or DEFAULT_STATES)
    for start in range(0, returns, BATCH):
        numbers = range(start, min(start + BATCH, returns))
        rows = [maker.a_return(number, _share(number, returns, photos)) for number in numbers]
        made = [photo for number, row in zip(numbers, rows, strict=True) for photo in maker.photos_of(number, row)]
        connection.execute("BEGIN")
        connection.executemany(_RETURN, [row["columns"] for row in rows])
        connection.executemany(_PHOTO, made)
        connection.execute("COMMIT")
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('watermark', ?)", (str(maker.now),))
    connection.close()


_RETURN = (
    "INSERT INTO returns(id, return_id, order_id, month, created_at, record, saved, listed) "
    "VALUES (?, ?, ?, ?, ?, ?, 1, 1)"
)
_PHOTO = (
    "INSERT INTO photos(return_row, item, image_hash, created_at, state, changed_at, suffix, size, sha256, "
    "content_type, note, failures) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


def _share(number: int, returns: int, photos: int) -> int:
    """How many photos the return gets: evenly, whatever the numbers."""
    return photos * (number + 1) // returns - photos * number // returns


class _Maker:
    def __init__(self, rng: random.Random, now: int, days: int, states: dict[str, float]) -> None:
        self.now = now
        self._rng = rng
        self._days = days
        self._states = list(states)
        self._shares = list(states.values())

    def a_return(self, number: int, photos: int) -> dict[str, Any]:
        created = self.now - 3600 - self._rng.randrange(self._days * DAY)
        date = time.strftime("%Y-%m-%dT%H:%M:%S+03:00", time.gmtime(created + 3 * 3600))
        hashes = [hashlib.sha1(f"{number}/{index}".encode()).hexdigest() for index in range(photos)]
        record = self._record(number, date, hashes)
        packed = pack(record) if hashes else None
        columns = (number + 1, record["id"], record["orderId"], date[:7], created, packed)
        return {"columns": columns, "created": created, "hashes": hashes}

    def _record(self, number: int, date: str, hashes: list[str]) -> dict[str, Any]:
        rng = self._rng
        reason = rng.choice(list(phrases.REASONS))
        decision = {
            "returnItemId": 70_000_001 + number,
            "count": 1,
            "comment": rng.choice(phrases.COMMENTS),
            "reasonType": reason,
            "subreasonType": rng.choice(phrases.REASONS[reason]),
            "decisionType": rng.choice(phrases.DECISIONS),
            "images": hashes,
        }
        item = {"marketSku": rng.randrange(10**9), "shopSku": f"{rng.choice(phrases.SKUS)}-{rng.randrange(9999)}"}
        return {
            "id": 40_000_001 + number,
            "orderId": 500_000_001 + number,
            "returnType": "RETURN",
            "creationDate": date,
            "updateDate": date,
            "refundStatus": rng.choice(phrases.REFUND_STATUSES),
            "shipmentStatus": rng.choice(phrases.SHIPMENT_STATUSES),
            "amount": {"value": rng.randrange(300, 9000), "currencyId": "RUR"},
            "items": [{**item, "count": 1, "decisions": [decision]}],
        }

    def photos_of(self, number: int, row: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
        for image_hash in row["hashes"]:
            state = self._rng.choices(self._states, self._shares)[0]
            changed = min(self.now, row["created"] + self._rng.randrange(DAY))
            known: tuple[Any, ...] = (None, None, None, None)
            if state == "archived":
                digest = hashlib.sha256(image_hash.encode()).digest()
                known = (".jpg", self._rng.randrange(40_000, 4_000_000), digest, "image/jpeg")
            note = {"failed": "the answer was cut off", "gone": "404"}.get(state)
            yield (
                number + 1,
                70_000_001 + number,
                image_hash,
                row["created"],
                state,
                changed,
                *known,
                note,
                int(state == "failed"),
            )


def _share_of_state(given: str) -> tuple[str, float]:
    name, _, share = given.partition("=")
    return name, float(share)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path)
    parser.add_argument("--photos", type=int, default=1000)
    parser.add_argument("--returns", type=int, default=300)
    parser.add_argument("--stores", type=int, default=1, help="so many stores, each with all of that")
    parser.add_argument("--state", type=_share_of_state, action="append", help="e.g. pending=1; may be repeated")
    given = parser.parse_args()
    for number in range(given.stores):
        folder = store_folder(given.archive, 101 + number)
        states = dict(given.state or ())
        make_catalog(folder, returns=given.returns, photos=given.photos, states=states, seed=number)


if __name__ == "__main__":
    main()
