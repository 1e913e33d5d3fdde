"""Download URLs with the usual script: gather, one session, one limiter, one file per photo."""

import asyncio
import sys
from pathlib import Path

import aiofiles
import aiohttp
from aiolimiter import AsyncLimiter


async def fetch_all(urls: list[str], folder: Path) -> None:
    limiter, parallel = AsyncLimiter(5000, 3600), asyncio.Semaphore(4)
    folder.mkdir(parents=True, exist_ok=True)

    async def fetch(url: str) -> None:
        async with parallel, limiter, session.get(url) as response:
            response.raise_for_status()
            async with aiofiles.open(folder / url.rpartition("/")[2], "wb") as file:
                async for chunk in response.content.iter_chunked(64 * 1024):
                    await file.write(chunk)

    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(fetch(url) for url in urls))


if __name__ == "__main__":
    asyncio.run(fetch_all(Path(sys.argv[1]).read_text().split(), Path(sys.argv[2])))
