"""The API's record of a return, as the catalogue keeps it and as return.json shows it. Pure."""

import json
import zlib
from typing import Any

from pydantic_core import to_json

#: What records are likely to say: the names and words of the API's description of a return, the commonest last.
#: With it a record takes two thirds of the room, and less time. Never change it: a packed record names its checksum.
_WORDS = (
    b"REFUND_MONEY_INCLUDING_SHIPMENT PARTIAL_MONEY_REFUND OTHER_DECISION LOYALTY_FAIL CONTENT_FAIL DELIVERY_FAIL "
    b"DELIVERED_TOO_LONG BAD_FLOWERS WRONG_ORDER WRONG_AMOUNT_DELIVERED PARCEL_MISSING WRAPPING_DAMAGED "
    b"ITEM_WAS_USED USER_DID_NOT_LIKE USER_CHANGED_MIND DID_NOT_MATCH_DESCRIPTION WRONG_COLOR INCOMPLETENESS "
    b"BROKEN DAMAGED PREMODERATION_DECISION_WAITING PREMODERATION_SELECT_DELIVERY PREMODERATION_DISPUTE "
    b"REFUNDED_WITH_BONUSES REFUNDED_BY_SHOP COMPLETE_WITHOUT_REFUND REFUND_IN_PROGRESS STARTED_BY_USER "
    b"CANCELLED REJECTED FAILED UNKNOWN READY_FOR_EXPROPRIATION READY_FOR_PICKUP IN_TRANSIT FULFILMENT_RECEIVED "
    b"RECEIVED PICKED LOST EXPIRED "
    b'"returnType":"UNREDEEMED","logisticPickupPoint":{"id":1,"name":"","instruction":"","type":"PICKUP_POINT",'
    b'"logisticPartnerId":1,"address":{"country":"","city":"","street":"","house":"","postcode":""}},'
    b'"pickupTillDate":"2026-","applicationUrl":"https://","attachments":[],"partnerCompensationAmount":'
    b'"shipmentRecipientType":"SHOP","fastReturn":true,"instances":[{"stockType":"FIT","status":"CREATED","cis":"'
    b'{"id":4,"orderId":5,"creationDate":"2026-01-01T10:00:00.000+03:00","updateDate":"2026-02-01T12:30:00+03:00",'
    b'"refundStatus":"WAITING_FOR_DECISION","refundStatus":"DECISION_MADE","refundStatus":"REFUNDED",'
    b'"shipmentStatus":"CREATED","returnType":"RETURN","fastReturn":false,"amount":{"value":9,"currencyId":"RUR"},'
    b'"items":[{"marketSku":1,"shopSku":"","count":1,"decisions":[{"returnItemId":7,"count":1,"comment":"","reasonType":'
    b'"DAMAGE_DELIVERY","reasonType":"DOES_NOT_FIT","reasonType":"WRONG_ITEM","reasonType":"BAD_QUALITY",'
    b'"subreasonType":"BAD_PACKAGE","subreasonType":"NOT_WORKING","decisionType":"SEND_TO_EXAMINATION",'
    b'"decisionType":"DECLINE_REFUND","decisionType":"REPAIR","decisionType":"REPLACE","decisionType":'
    b'"FAST_REFUND_MONEY","decisionType":"REFUND_MONEY","amount":{"value":9,"currencyId":"RUR"},"images":["","'
    b'"]}]}]}'
)
#: Levels of lists and objects in a record that is kept; the API's records have 8. Interpreters give up at depths that
#: differ (3.11: 1 000 less the caller's frames, 3.12.1: 1 497, 3.13: 9 998), so the limit is ours and below them all.
#: It is above the 254 levels that `to_json` writes: only a record that it refuses has to be measured.
MAX_DEPTH = 500
#: Bits of the window, which has to hold the words and a record, and the memory that goes with it. With the defaults,
#: setting up would cost more than the work.
_WINDOW, _MEMORY = 12, 5

try:  # four times as quick, where it is to be had; what it packs, zlib unpacks
    from isal import isal_zlib
except ImportError:
    _TEMPLATE = zlib.compressobj(3, zlib.DEFLATED, _WINDOW, _MEMORY, zlib.Z_FIXED, _WORDS)
    _packer = _TEMPLATE.copy
else:

    def _packer() -> Any:
        return isal_zlib.compressobj(0, zlib.DEFLATED, _WINDOW, _MEMORY, zlib.Z_FIXED, _WORDS)


def pack(record: dict[str, Any]) -> bytes:
    """Return the record as compressed JSON: the same bytes for the same record, as long as the same packer does it.

    Raises ValueError where it is nested more than MAX_DEPTH levels deep.
    """
    packer = _packer()
    packed: bytes = packer.compress(_compact(record)) + packer.flush()
    return packed


def _compact(record: dict[str, Any]) -> bytes:
    try:
        return to_json(record)
    except ValueError:  # half a surrogate pair, or very deep: plain ASCII survives any text a stranger put into it
        if is_too_deep(record):
            raise ValueError(f"its record is nested more than {MAX_DEPTH} levels deep") from None
        return json.dumps(record, separators=(",", ":")).encode()


def is_too_deep(value: Any) -> bool:
    """Return whether lists and objects are nested more than MAX_DEPTH levels deep, the value itself included."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True


def unpack(packed: bytes) -> dict[str, Any]:
    """Return what was packed. Raises ValueError where `pack` did not make it."""
    unpacker = zlib.decompressobj(zdict=_WORDS)
    try:
        content = unpacker.decompress(packed)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if not unpacker.eof or unpacker.unused_data:
        raise ValueError("the packed record is cut off or too long")
    try:
        record = json.loads(content)
    except RecursionError as error:
        raise ValueError("the record is nested too deeply") from error
    if not isinstance(record, dict):
        raise ValueError("the packed record is no object")
    return record


def render(record: dict[str, Any]) -> bytes:
    """The content of return.json."""
    return json.dumps(record, ensure_ascii=False, indent=1).encode(errors="backslashreplace") + b"\n"
