"""Write photos and pages as files under the API's paths, for a static server."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.records import image_hash, page, photo_path, record

PAGE = 100
_BLOCK = Random(7).randbytes(1 << 20)


@dataclass
class Corpus:
    """What a server serves; `digests` has the SHA-256 of each photo by its image hash."""

    root: Path
    campaigns: list[int] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    digests: dict[str, str] = field(default_factory=dict)
    size: int = 0

    @property
    def photos(self) -> int:
        return len(self.paths)


def make(root: Path, size: int, photos: int, *, stores: int = 1, per_return: int = 2, first: int = 0) -> Corpus:
    """Write `photos` of `size` bytes for each of `stores`, `per_return` each; returns are numbered from `first`."""
    corpus = Corpus(root, [100 + store for store in range(stores)], size=size)
    for store, campaign in enumerate(corpus.campaigns):
        numbers = range(first + store * photos, first + store * photos + photos // per_return)
        for number in numbers:
            for index in range(per_return):
                _add(corpus, photo_path(campaign, number, index), image_hash(number * 100 + index))
        write_pages(root, campaign, list(numbers), per_return)
    _write_campaigns(corpus)
    return corpus


def _add(corpus: Corpus, path: str, name: str) -> None:
    target = corpus.root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with target.open("wb") as file:
        for piece in body(name, corpus.size):
            file.write(piece)
            digest.update(piece)
    corpus.paths.append(path)
    corpus.digests[name] = digest.hexdigest()


def body(name: str, size: int) -> Iterator[bytes]:
    """Yield `size` bytes that differ for each name, with the first and last bytes of a JPEG."""
    start, end = b"\xff\xd8\xff\xe0" + name.encode(), b"\xff\xd9"
    left = size - len(start) - len(end)
    yield start
    while left > 0:
        yield _BLOCK[: min(left, len(_BLOCK))]
        left -= len(_BLOCK)
    yield end


def write_pages(root: Path, campaign: int, numbers: list[int], per_return: int) -> None:
    """Write the listing, one file per page: `p`, `p1`, `p2` …; the last one has no token."""
    folder = root / "pages" / str(campaign)
    folder.mkdir(parents=True, exist_ok=True)
    pages = [numbers[start : start + PAGE] for start in range(0, len(numbers), PAGE)] or [[]]
    for index, rows in enumerate(pages):
        token = str(index + 1) if index + 1 < len(pages) else None
        (folder / f"p{index or ''}").write_bytes(page([record(number, per_return) for number in rows], token))


def _write_campaigns(corpus: Corpus) -> None:
    stores = ",".join(
        f'{{"id": {campaign}, "domain": "store {campaign}", "placementType": "FBS", "apiAvailability": "AVAILABLE"}}'
        for campaign in corpus.campaigns
    )
    (corpus.root / "campaigns").write_text(f'{{"campaigns": [{stores}], "paging": {{}}}}')
