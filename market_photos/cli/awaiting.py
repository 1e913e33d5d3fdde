"""`awaiting`: list the returns that await the seller's decision."""

import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import shorten

import click

from market_photos import console
from market_photos.archive.catalog.catalog import Catalog
from market_photos.archive.layout import store_folder
from market_photos.archive.places import open_archive
from market_photos.cli.each_store import EachStore
from market_photos.cli.options import campaigns_option, config_option
from market_photos.clock import SystemClock, iso
from market_photos.config import find_config, load
from market_photos.pages import Wording
from market_photos.record import Decision
from market_photos.reporting.awaiting import (
    HOURS,
    AwaitingReturn,
    AwaitingSummary,
    awaiting_of,
    most_urgent_first,
    time_left,
)
from market_photos.text import one_line

#: Characters of a comment that the list shows.
_COMMENT = 200


@click.command()
@config_option
@campaigns_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON list.")
def awaiting(*, config: Path | None, campaigns: tuple[int, ...], as_json: bool) -> None:
    """List the returns that await your decision.

    The most urgent first, as of the last listing: run `sync` before. The hours left are an estimate: 48 hours from
    the creation of the return.
    """
    archive, clock = open_archive(load(find_config(config)).archive), SystemClock()

    def look(campaign: int) -> tuple[list[AwaitingReturn], str]:
        with Catalog(store_folder(archive.catalogs, campaign), campaign, clock, read_only=True) as catalog:
            watermark = catalog.returns.watermark()
            listed = f"as of {iso(watermark)}" if watermark is not None else "not listed to the end yet"
            line = f"Store {campaign} {catalog.reader.name}".strip() + f": {listed}"
            return list(awaiting_of(catalog.reader, catalog.now().best)), line

    each = EachStore()
    results = each.results(each.select(archive, campaigns), look)
    found = most_urgent_first(back for of_store, _ in results for back in of_store)
    if as_json:
        console.give([back.as_json() for back in found])
    else:
        _show(found, [line for _, line in results])
    sys.exit(each.exit_code())


def _show(found: list[AwaitingReturn], as_of: list[str]) -> None:
    console.show(f"{AwaitingSummary(len(found))}. Hours left are an estimate, {HOURS} from the creation.")
    words = Wording("en")
    for line in [*(line for back in found for line in _lines(back, words)), *as_of]:
        console.show(one_line(line))


def _lines(awaiting: AwaitingReturn, words: Wording) -> Iterator[str]:
    back = awaiting.return_.without_damage()
    left = time_left(awaiting.hours_left)
    yield f"{left}: order {back.order}, return {back.return_id}, store {back.campaign} {back.store}"
    pending = f", {awaiting.pending} of them not downloaded yet" * bool(awaiting.pending)
    yield f"  created {iso(back.created_at)}; photos: {len(back.photos)}{pending}"
    for decision in back.record.decisions:
        yield f"  {_item(decision, words)}"


def _item(decision: Decision, words: Wording) -> str:
    reasons = [words.value("reason", decision.reason), words.value("subreason", decision.subreason)]
    item = ", ".join(filter(None, [decision.sku, *reasons]))
    comment = shorten(decision.comment, _COMMENT, placeholder=" …")
    return f"{item}: {comment}" if comment else item
