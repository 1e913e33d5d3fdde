"""A run opens as many stores at once as the limit of open files allows."""

import resource
from collections.abc import Iterator

import pytest

from market_photos.settings import Limits
from market_photos.sync.descriptors import stores_that_fit

SOFT, HARD = resource.getrlimit(resource.RLIMIT_NOFILE)


@pytest.fixture(autouse=True)
def same_limit_afterwards() -> Iterator[None]:
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (SOFT, HARD))


def limits(stores: int, parallel_requests: int) -> Limits:
    return Limits(stores_at_once=stores, parallel_requests=parallel_requests)


def test_a_run_of_one_store_leaves_the_limit_alone() -> None:
    assert stores_that_fit(limits(1, 3)) == stores_that_fit(limits(100, 3), 1) == 1
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (SOFT, HARD)


def test_the_soft_limit_is_raised_to_what_the_stores_need() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (128, HARD))
    assert stores_that_fit(limits(30, 3)) == 30
    raised, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert (raised > 128, hard) == (True, HARD)


def test_under_a_hard_limit_fewer_stores_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 1024))
    monkeypatch.setattr(resource, "setrlimit", lambda *_: None)
    assert 40 <= stores_that_fit(limits(1000, 3)) <= 64
    assert stores_that_fit(limits(1000, 4)) < stores_that_fit(limits(1000, 1))
    monkeypatch.setattr(resource, "getrlimit", lambda _: (16, 16))
    assert stores_that_fit(limits(1000, 3)) == 1
