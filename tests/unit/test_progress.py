"""What a person sees: two phases, the pace, and why it waits."""

import asyncio
import io
import re
from typing import cast

import pytest
from rich.console import Console

from market_photos.cli.display import RunView
from market_photos.cli.run import is_live, print_lines
from market_photos.reporting.progress import RunProgress, StoreProgress
from market_photos.reporting.report import StoreReport
from market_photos.sync.run import Run
from tests import virtual


@pytest.mark.parametrize(
    ("environ", "terminal", "live"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"CI": "1"}, True, False),
        ({"NO_COLOR": "1"}, True, True),
        ({"TERM": "dumb"}, True, False),
    ],
)
def test_the_live_view_needs_a_capable_terminal(environ: dict[str, str], terminal: bool, live: bool) -> None:
    assert is_live(environ, is_terminal=terminal) is live


def view(listing: str = "", waiting: str = "", pending: int = 0) -> StoreProgress:
    return StoreProgress("101 shop", listing, 3, 250, 1200, 5 * 10**6, pending, 4800.0, 0.25, 7200.0, waiting)


async def test_a_store_that_ends_while_the_others_are_asked_counts_once() -> None:
    """A run was said to have -4 stores waiting."""

    class Ending(Run):
        seconds = 0.0

        def __init__(self) -> None:
            self.planned, self.ended = 1, []

        async def progress(self) -> list[StoreProgress]:
            self.ended.append(StoreReport(101))
            return [view()]

    now = await Ending().overview()
    assert (now.ended, len(now.stores), now.photos) == (0, 1, view().photos)


def test_progress_lines_show_counts_pace_and_the_reason_for_a_wait() -> None:
    assert view().lines() == [
        "101 shop: listed: 3 pages, 250 returns",
        "  fetching: 1,200 photos, 5.0 MB, 4,800/h, quota 25% used; 0 to go",
    ]
    lines = view("2026-01-01 to now", "quota: next photo 12:00:00", 9000).lines()
    assert lines[0].startswith("101 shop: listing 2026-01-01 to now: 3 pages")
    assert lines[1].endswith("9,000 to go, about 2 h 00 min left")
    assert lines[2] == "  waiting: quota: next photo 12:00:00"


def store(
    title: str,
    *,
    waiting: str = "",
    photos: int = 50,
    pending: int = 100,
    left: float | None = 60.0,
    listing: str = "",
) -> StoreProgress:
    return StoreProgress(title, listing, 3, 250, photos, 5 * 10**6, pending, 4800.0, 0.25, left, waiting)


def run_of(*stores: StoreProgress, planned: int, troubled: int = 0) -> RunProgress:
    titles = [f"{number} shop" for number in range(troubled)]
    ended = planned - len(stores)
    photos = sum(store.photos for store in stores)
    return RunProgress(36.0, planned, ended, titles, list(stores), photos, 10**9)


QUOTA = "quota: next photo 04:12:00"


def test_one_line_says_how_far_a_run_is() -> None:
    assert run_of(planned=0).line() == "asking for the list of stores"
    listing = run_of(store("101 shop", photos=0, pending=0, left=None, listing="2026-01"), planned=1)
    assert listing.line() == "0 of 0 photos so far; 1 store: 0 done, 1 at work; 1.0 GB"
    one = run_of(store("101 shop", left=7200.0, waiting=QUOTA), planned=1)
    assert one.line() == (
        "50 of 150 photos, 33%, 5,000/h, about 2 h 00 min left; 1 store: 0 done, 1 at work; 1.0 GB; " + QUOTA
    )
    many = run_of(store("101 shop"), store("102 shop", waiting=QUOTA), planned=1000, troubled=5)
    assert many.line() == (
        "100 of 300 photos, 33%, 10,000/h, about 1 min 00 s left; 1,000 stores: 998 done (5 not complete), "
        "2 at work; 1.0 GB; not complete: 0 shop, 1 shop, 2 shop and 2 more"
    )


def test_the_slowest_store_decides_the_time_left_and_a_store_without_photos_does_not() -> None:
    assert run_of(store("a", left=60.0), store("b", left=7200.0), planned=2).seconds_left == 7200
    assert run_of(store("a", left=60.0), store("b", left=7200.0, pending=0), planned=2).seconds_left == 60
    assert run_of(store("a", left=None), planned=1).seconds_left is None


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "ascii"])
@pytest.mark.parametrize("width", [40, 80, 200])
@pytest.mark.parametrize("stores", [0, 1, 12, 1000])
def test_the_live_view_fits_the_terminal(stores: int, width: int, encoding: str) -> None:
    """In width and in height, whatever the number of stores, with the totals first."""
    file = io.TextIOWrapper(io.BytesIO(), encoding, "backslashreplace", write_through=True)
    view = RunView(Console(file=file, width=width, height=24, force_terminal=True, legacy_windows=False))
    now = run_of(*(store(f"{n} Чайная лавка", waiting=QUOTA) for n in range(stores)), planned=stores, troubled=9)
    with view:
        view.show(now, "interrupted")
        drawn = [segment.text for segment in view.console.render(view)]
    lines = "".join(drawn).splitlines()
    assert len(lines) <= 14
    assert all(len(line) <= width for line in lines)
    assert ("photos" in lines[0]) is (stores > 0)
    assert "stopping: interrupted"[:width] in lines[-1]


@pytest.mark.parametrize("no_color", [True, False])
def test_no_color_takes_only_the_colours_away(monkeypatch: pytest.MonkeyPatch, no_color: bool) -> None:
    monkeypatch.setenv("NO_COLOR", "1" if no_color else "")
    monkeypatch.setenv("TERM", "xterm-256color")
    buffer = io.BytesIO()
    file = io.TextIOWrapper(buffer, "utf-8", write_through=True)
    with RunView(Console(file=file, width=80, force_terminal=True, legacy_windows=False)) as view:
        view.show(run_of(store("101 shop"), planned=1), "")
    drawn = buffer.getvalue().decode()
    assert "50 of 150 photos" in drawn
    assert (re.search(r"\x1b\[[0-9;]*3[0-9]", drawn) is None) is no_color


async def test_a_run_without_a_terminal_prints_a_line_a_minute(capsys: pytest.CaptureFixture[str]) -> None:
    class Counting:
        async def overview(self) -> RunProgress:
            return run_of(store("101 shop"), planned=1)

    async def five_minutes() -> None:
        printing = asyncio.create_task(print_lines(cast(Run, Counting())))
        await asyncio.sleep(301)
        printing.cancel()

    await asyncio.to_thread(virtual.run, five_minutes())
    assert capsys.readouterr().err.count("50 of 150 photos") == 5
