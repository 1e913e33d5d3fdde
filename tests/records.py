"""Build returns as the API serves them, by number: the same each time, about as long as real ones."""

import datetime as dt
import hashlib
import json
from random import Random
from typing import Any

from market_photos.clock import MOSCOW
from market_photos.sandbox.phrases import COMMENTS, DECISIONS, REASONS, REFUND_STATUSES, SHIPMENT_STATUSES, SKUS

Record = dict[str, Any]
#: The creation date of the first return; each next return is later by STEP, a hundred in a day.
START = dt.datetime(2026, 1, 1, 8, tzinfo=MOSCOW)
STEP = dt.timedelta(seconds=864)


def image_hash(number: int) -> str:
    """Return 40 hexadecimal digits, as in real hashes."""
    return hashlib.sha1(b"photo %d" % number, usedforsecurity=False).hexdigest()


def record(number: int, photos: int) -> Record:
    """Return the record with this number, with `photos` photos in one decision."""
    rng = Random(number)
    created = (START + number * STEP).isoformat()
    reason = rng.choice(list(REASONS))
    decision = {
        "returnItemId": 700_000 + number,
        "count": 1,
        "comment": rng.choice(COMMENTS),
        "reasonType": reason,
        "subreasonType": rng.choice(REASONS[reason]),
        "decisionType": rng.choice(DECISIONS),
        "amount": {"value": rng.randrange(100, 9000), "currencyId": "RUR"},
        "images": [image_hash(number * 100 + index) for index in range(photos)],
    }
    item = {"marketSku": rng.randrange(10**9), "shopSku": rng.choice(SKUS), "count": 1, "decisions": [decision]}
    return {
        "id": 40_000_000 + number,
        "orderId": 50_000_000 + number,
        "creationDate": created,
        "updateDate": created,
        "refundStatus": rng.choice(REFUND_STATUSES),
        "shipmentStatus": rng.choice(SHIPMENT_STATUSES),
        "returnType": "RETURN",
        "fastReturn": False,
        "amount": decision["amount"],
        "items": [item],
    }


def photo_path(campaign: int, number: int, index: int) -> str:
    """Return the path of a photo in the URL and below the server's root."""
    return (
        f"v2/campaigns/{campaign}/orders/{50_000_000 + number}/returns/{40_000_000 + number}"
        f"/decision/{700_000 + number}/image/{image_hash(number * 100 + index)}"
    )


def page(rows: list[Record], next_token: str | None) -> bytes:
    paging = {"nextPageToken": next_token} if next_token else {}
    content = {"status": "OK", "result": {"paging": paging, "returns": rows}}
    return json.dumps(content, ensure_ascii=False).encode()
