"""A run visits the named stores always, and of the others those that can be served."""

import json
from collections.abc import Iterable
from random import Random
from typing import Any, cast

import pytest

from market_photos.clock import ServerClock
from market_photos.errors import KeyRefused, ServerUnavailable
from market_photos.market.client import Client
from market_photos.market.limits import Admission
from market_photos.market.refusals import Reaction, Refusal
from market_photos.market.requests import ApiRequest
from market_photos.sync.discovery import MAX_PAGES, Candidate, Discovered, discover, nothing_to_visit
from tests.unit.worlds import ToldClock


def a_page(*stores: dict[str, Any], following: str | None = None) -> bytes:
    paging = {"nextPageToken": following} if following else {}
    return json.dumps({"campaigns": list(stores), "paging": paging}).encode()


OPEN = {"id": 2, "domain": "shop", "apiAvailability": "AVAILABLE", "placementType": "FBS"}
CLOSED = {"id": 1, "domain": "old", "apiAvailability": "DISABLED_BY_INACTIVITY"}


class Pages:
    """A client that gives these answers in turn, and then repeats the last one."""

    def __init__(self, *answers: bytes | Refusal) -> None:
        self._answers = list(answers)
        self.asked = 0

    async def read(self, request: ApiRequest, admission: Admission) -> bytes:
        answer = self._answers[min(self.asked, len(self._answers) - 1)]
        self.asked += 1
        if isinstance(answer, Refusal):
            raise answer
        return answer


async def discovered(client: Pages, named: Iterable[int] = ()) -> Discovered:
    return await discover(cast(Client, client), named, ServerClock.of(ToldClock()), Random(1))


async def test_every_open_store_of_every_page_is_visited() -> None:
    """A closed one is skipped, with the reason."""
    found = await discovered(Pages(a_page(CLOSED, following="two"), a_page(OPEN)))
    assert found.candidates == [Candidate(2, "shop")]
    assert [(candidate.campaign, "DISABLED_BY_INACTIVITY" in candidate.refused) for candidate in found.skipped] == [
        (1, True)
    ]


async def test_named_stores_are_visited_whatever_the_list_says() -> None:
    """A closed one is refused by name; one that the key does not see with the names of those that it sees."""
    found = await discovered(Pages(a_page(CLOSED, OPEN)), [3, 2, 1, 2])
    assert [(candidate.campaign, candidate.name, bool(candidate.refused)) for candidate in found.candidates] == [
        (1, "old", True),
        (2, "shop", False),
        (3, "", True),
    ]
    assert found.candidates[2].refused == "there is no such store for this key; it sees: 1 old, 2 shop"
    assert found.skipped == []


async def test_a_named_store_may_be_one_that_the_list_does_not_show_readably() -> None:
    unreadable = {"id": "?", "domain": "odd"}
    found = await discovered(Pages(a_page(OPEN, unreadable)), [3])
    assert found.candidates == [Candidate(3, is_listed=False)]


async def test_named_stores_are_visited_without_the_list() -> None:
    found = await discovered(Pages(Refusal(Reaction.GIVE_UP, "HTTP 400")), [5])
    assert found.candidates == [Candidate(5, is_listed=False)]


@pytest.mark.parametrize(
    ("answer", "named", "error"),
    [
        (Refusal(Reaction.GIVE_UP, "HTTP 400"), [], ServerUnavailable),
        (Refusal(Reaction.STOP_RUN, "HTTP 401", 401), [], KeyRefused),
        (Refusal(Reaction.STOP_RUN, "HTTP 401", 401), [5], KeyRefused),
    ],
)
async def test_without_the_list_there_is_an_error(answer: Refusal, named: list[int], error: type[Exception]) -> None:
    with pytest.raises(error):
        await discovered(Pages(answer), named)


async def test_a_list_of_stores_that_never_ends_is_an_error() -> None:
    client = Pages(a_page(OPEN, following="again"))
    with pytest.raises(ServerUnavailable, match="in circles"):
        await discovered(client)
    assert client.asked == MAX_PAGES


@pytest.mark.parametrize(
    ("skipped", "message"), [([], "sees no store"), ([Candidate(1, "old", "its API is closed")], "1 old: its API is")]
)
def test_a_run_without_a_store_says_why(skipped: list[Candidate], message: str) -> None:
    assert message in nothing_to_visit(skipped).message
