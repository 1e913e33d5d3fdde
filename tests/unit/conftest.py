"""aioresponses, made to fit the aiohttp that is used."""

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import aiohttp
import pytest
from aiohttp.client_proto import ResponseHandler
from aioresponses import aioresponses, core
from hypothesis import settings

# a busy machine is slow; pytest's time-out ends a test that hangs
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


class _Response(aiohttp.ClientResponse):
    """aiohttp 3.14 wants a stream_writer that aioresponses 0.7.9 does not pass (its issue #289)."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"stream_writer": Mock(output_size=0)} | kwargs)


def _reader(loop: asyncio.AbstractEventLoop | None = None) -> aiohttp.StreamReader:
    """Bodies above 128 KiB pause the transport, and a mock has no transport (aioresponses' pull request 292)."""
    loop = loop or asyncio.get_running_loop()
    return aiohttp.StreamReader(ResponseHandler(loop=loop), 2**31, loop=loop)


@pytest.fixture
async def answers(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[aioresponses]:
    """`answers.get(url, status=503)`. It skips middlewares, so there is no key, no limit and no redirect."""
    monkeypatch.setattr(core, "ClientResponse", _Response)
    monkeypatch.setattr(core, "stream_reader_factory", _reader)
    # it keeps deep copies of the arguments, of the event loop behind our middlewares too
    monkeypatch.setattr(core, "copy", SimpleNamespace(deepcopy=lambda arguments: arguments))
    with aioresponses() as mocked:
        yield mocked
