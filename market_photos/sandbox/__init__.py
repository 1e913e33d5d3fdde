"""The embedded Market: an imitation of the seller's API on 127.0.0.1, for the demo and the integration tests.

    market = Market(seed=1)
    market.add_store(campaign=101).add_return(photos=3)
    async with Sandbox(market) as sandbox:
        sandbox.faults.add(actions.status(503), kind="photo", times=2)
        ...
        assert sandbox.log.count("photo") == 5

It behaves as the API's documentation says. Where that says nothing, it does what is most difficult for
a client, or the test chooses.
"""

from market_photos.sandbox import actions
from market_photos.sandbox.faults import ALWAYS, Fault, Faults
from market_photos.sandbox.limits import FixedWindow, ServerLimits
from market_photos.sandbox.log import Entry, Log
from market_photos.sandbox.records import ABSENT
from market_photos.sandbox.server import Sandbox, running, serve
from market_photos.sandbox.world import Market, MarketStore, Photo, Return

__all__ = [
    "ABSENT",
    "ALWAYS",
    "Entry",
    "Fault",
    "Faults",
    "FixedWindow",
    "Log",
    "Market",
    "MarketStore",
    "Photo",
    "Return",
    "Sandbox",
    "ServerLimits",
    "actions",
    "running",
    "serve",
]
