"""Worlds for the integration tests, and shorter waits."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from market_photos.market import retry, slots
from market_photos.sandbox import Market, running
from market_photos.sync import ledger
from tests.integration.buckets import KEYS, Storage, ministack
from tests.integration.harness import ServerWall, World

MakeWorld = Callable[..., World]


@pytest.fixture
def make_world(tmp_path: Path) -> Iterator[MakeWorld]:
    """Make a world with one store (101); options are the Sandbox's, `settings` the configuration's sections."""
    with ExitStack() as stack:

        def make(settings: dict[str, dict[str, Any]] | None = None, stores: int = 1, **options: Any) -> World:
            market = Market(seed=1)
            for _ in range(stores):
                market.add_store()
            wall = ServerWall()
            sandbox = stack.enter_context(running(market, **{"wall": wall} | options))
            return World(market, sandbox, tmp_path, settings or {}, server_wall=wall)

        yield make


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    return make_world()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pause for milliseconds between attempts; all that is counted stays as it is."""
    monkeypatch.setattr(retry, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(retry, "OUTAGE_PAUSES", (0.05, 0.2))
    monkeypatch.setattr(slots, "PAUSE", (0.01, 0.05))


@pytest.fixture
def short_cool_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """Free the slots of a killed run after a fraction of a second, instead of ten; for runs in this process."""
    monkeypatch.setattr(ledger, "Slots", partial(slots.Slots, cool_down=0.1))
    monkeypatch.setattr(ledger, "RECORDED_SECONDS", 0.1)


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the proxies of the machine that runs the tests out of them."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Storage]:
    """An object storage on this machine."""
    with ministack(tmp_path_factory.mktemp("storage")) as storage:
        yield storage


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of a program that uses the storage."""
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
