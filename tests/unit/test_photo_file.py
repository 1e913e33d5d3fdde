"""A file with its final name is whole, and an interrupted download leaves no such file."""

import asyncio
import errno
import hashlib
import os
import resource
import stat
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from market_photos.archive.atomic import make_folder, sync_folder, write_atomically
from market_photos.archive.image_type import HEAD_BYTES
from market_photos.archive.photo_file import TAIL_BYTES, WRITE_BYTES, Part, part, sweep
from market_photos.archive.volume import disk_errors, require_room
from market_photos.errors import ArchiveUnwritable, ExitCode
from market_photos.threads import to_the_end


@pytest.fixture(autouse=True)
def careless_umask() -> Iterator[None]:
    """A user's shell that lets everybody read and write."""
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def written_out(unfinished: Part, content: bytes) -> None:
    await unfinished.write(content)
    await unfinished.finish()


async def store(target: Path, *chunks: bytes) -> None:
    """Store a photo as a worker does."""
    async with part(target.with_name(f"{target.name}.part")) as unfinished:
        for chunk in chunks:
            await unfinished.write(chunk)
        await unfinished.finish()
        await to_the_end(asyncio.to_thread(unfinished.commit, ""))


CHUNKS = [
    [b"x"],
    [b""],
    [],
    [b"ab", b"", b"cd"],
    [b"a" * WRITE_BYTES],
    [b"a" * (WRITE_BYTES - 1), b"bc", b"d" * (3 * WRITE_BYTES), b"e"],
    [bytes([n]) * 1000 for n in range(256)],
]


@pytest.mark.parametrize("chunks", CHUNKS)
async def test_a_photo_is_written_whole(tmp_path: Path, chunks: list[bytes]) -> None:
    """Every byte in order, with its length and hash, its first and last bytes known, closed to others."""
    content = b"".join(chunks)
    async with part(tmp_path / "p.jpg.part") as unfinished:
        for chunk in chunks:
            await unfinished.write(chunk)
        assert (unfinished.head, unfinished.tail) == (content[:HEAD_BYTES], content[-TAIL_BYTES:])
        digest = await unfinished.finish()
        assert names(tmp_path) == ["p.jpg.part"]
        assert mode(unfinished.path) == 0o600
        assert (unfinished.head, unfinished.tail) == (content[:HEAD_BYTES], content[-TAIL_BYTES:])
        stored = unfinished.commit("")
    assert names(tmp_path) == ["p.jpg"]
    assert (tmp_path / "p.jpg").read_bytes() == content
    assert stored == (len(content), hashlib.sha256(content).digest())
    assert stored.sha256 == digest
    assert mode(tmp_path / "p.jpg") == 0o600


async def test_a_part_of_a_killed_run_is_overwritten(tmp_path: Path) -> None:
    """Nothing of the old bytes stays behind the new ones."""
    (tmp_path / "p.part").write_bytes(b"old" * 1000)
    await store(tmp_path / "p", b"new")
    assert (tmp_path / "p").read_bytes() == b"new"


@pytest.mark.parametrize("written", [0, 10, WRITE_BYTES, 2 * WRITE_BYTES + 1])
@pytest.mark.parametrize("finished", [True, False])
async def test_an_uncommitted_photo_leaves_nothing(tmp_path: Path, written: int, finished: bool) -> None:
    """Neither an error nor leaving without a commit leaves a file."""
    for error in (ConnectionError, KeyboardInterrupt, None):
        with pytest.raises(error) if error else nullcontext():
            async with part(tmp_path / "p.part") as unfinished:
                await unfinished.write(b"x" * written)
                if finished:
                    await unfinished.finish()
                if error:
                    raise error
        assert names(tmp_path) == []


@pytest.mark.parametrize("awaits", range(12))
async def test_a_cancelled_photo_leaves_no_part(tmp_path: Path, awaits: int) -> None:
    """After a cancel at any await, there is no part, and no thread makes or writes one later."""
    chunk = b"x" * WRITE_BYTES
    task = asyncio.create_task(store(tmp_path / "p", chunk, chunk, chunk))
    for _ in range(awaits):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_default_executor()
    assert not (tmp_path / "p.part").exists()
    if (tmp_path / "p").exists():
        assert (tmp_path / "p").stat().st_size == 3 * WRITE_BYTES


async def test_a_part_made_after_a_cancel_is_removed(tmp_path: Path) -> None:
    """The thread may be slow: the part that it makes late is removed all the same. A FIFO makes it slow for sure."""
    path = tmp_path / "p.part"
    os.mkfifo(path)
    task = asyncio.create_task(store(tmp_path / "p", b"x"))
    for _ in range(10):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    with path.open("rb"):  # now the thread's open returns
        await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()
    assert names(tmp_path) == []


@pytest.fixture
def limited_file_size() -> Iterator[int]:
    """Files end after so many bytes, as on a full disk: the last write that fits is short."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    yield 100_000
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_a_short_write_is_an_error(tmp_path: Path, limited_file_size: int) -> None:
    """After a write of a part of the bytes, the rest is tried, and its failure is reported."""
    with pytest.raises(ArchiveUnwritable, match=r"p\.part"):
        await store(tmp_path / "p", b"x" * (limited_file_size + 1))
    with pytest.raises(ArchiveUnwritable, match=r"r\.json"):
        write_atomically(tmp_path / "r.json", b"x" * (limited_file_size + 1))
    assert names(tmp_path) == []


async def test_the_folder_is_made_with_its_first_photo(tmp_path: Path) -> None:
    """A photo that does not arrive leaves no folder."""
    async with part(tmp_path / "a" / "b" / "p.part") as unfinished:
        await unfinished.write(b"x")
    assert names(tmp_path) == []
    await store(tmp_path / "a" / "b" / "p", b"x")
    assert (mode(tmp_path / "a"), mode(tmp_path / "a" / "b")) == (0o700, 0o700)


@pytest.mark.parametrize("size", [1, WRITE_BYTES])
async def test_below_the_floor_nothing_is_written(tmp_path: Path, size: int) -> None:
    """Neither of a small photo nor of one that is streamed."""
    async with part(tmp_path / "p.part", floor=10**18) as unfinished:
        with pytest.raises(ArchiveUnwritable, match="less than the floor"):
            await written_out(unfinished, b"x" * size)
    assert names(tmp_path) == []


async def test_a_missing_folder_is_an_error_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "no-folder").touch()
    with pytest.raises(ArchiveUnwritable, match="no-folder"):
        await store(tmp_path / "no-folder" / "p", b"x")
    with pytest.raises(ArchiveUnwritable, match="none"):
        write_atomically(tmp_path / "none" / "r.json", b"{}")
    assert names(tmp_path) == ["no-folder"]


async def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """Bytes from a stranger go into no file that a link points to."""
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / "p.part").symlink_to(victim)
    (tmp_path / "r.json.part").symlink_to(victim)
    with pytest.raises(ArchiveUnwritable):
        await store(tmp_path / "p", b"x")
    assert (tmp_path / "p.part").is_symlink(), "not ours to remove"
    with pytest.raises(ArchiveUnwritable):
        write_atomically(tmp_path / "r.json", b"{}")
    assert victim.read_text() == "mine"


def test_a_small_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    """The new content or the old, closed to others, nothing beside it."""
    for content in (b"", b"first", b"2"):
        write_atomically(tmp_path / "r.json", content)
        assert (tmp_path / "r.json").read_bytes() == content
    assert names(tmp_path) == ["r.json"]
    assert mode(tmp_path / "r.json") == 0o600
    (tmp_path / "folder").mkdir()
    with pytest.raises(ArchiveUnwritable):
        write_atomically(tmp_path / "folder", b"x")
    assert names(tmp_path) == ["folder", "r.json"]


def test_folders_are_closed_to_others(tmp_path: Path) -> None:
    """All that are made on the way; one that is there is left as it is."""
    (tmp_path / "mine").mkdir(mode=0o755)
    make_folder(tmp_path / "mine" / "a" / "b")
    make_folder(tmp_path / "mine" / "a" / "b")
    modes = [mode(tmp_path / path) for path in ("mine", "mine/a", "mine/a/b")]
    assert modes == [0o755, 0o700, 0o700]
    sync_folder(tmp_path / "mine")


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    """A file or a dead link in its place is reported at once, not at the first photo."""
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "unmounted")
    for path in ("file", "file/below", "link", "x" * 300):
        with pytest.raises(ArchiveUnwritable, match=path[:9]):
            make_folder(tmp_path / path)


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        (errno.ENOSPC, "Make room"),
        (errno.EDQUOT, "quota"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "right to read and to write"),
        (errno.EPERM, "right to read and to write"),
        (errno.EIO, "reports errors"),
        (errno.ENAMETOOLONG, "Check the volume"),
        (None, "Check the volume"),
    ],
)
def test_a_disk_error_names_path_cause_and_next_step(code: int | None, hint: str) -> None:
    with pytest.raises(ArchiveUnwritable, match=r"^/some/where: ") as caught, disk_errors(Path("/some/where")):
        raise OSError(code, os.strerror(code)) if code else OSError("odd")
    assert hint in caught.value.hint
    assert caught.value.exit_code is ExitCode.ARCHIVE


def test_the_free_space_floor_is_checked(tmp_path: Path) -> None:
    """The floor counts, 0 is none, a folder that is not there is named."""
    require_room(tmp_path, 0)
    with pytest.raises(ArchiveUnwritable, match="less than the floor of 1,000,000,000,000 MB"):
        require_room(tmp_path, 10**18)
    with pytest.raises(ArchiveUnwritable, match="none"):
        require_room(tmp_path / "none", 0)


def test_a_sweep_removes_only_the_files_of_that_photo(tmp_path: Path) -> None:
    """Its part and a file without a row; nothing of its neighbours, whose names may begin alike."""
    mine = ["10-aa.part", "10-aa.jpg", "10-aa.jpg.part", "10-aa"]
    others = ["10-aab.jpg", "10-a.jpg", "110-aa.jpg", "10-aa~0123456789abcdef.jpg", "return.json", "return.json.part"]
    for name in mine + others:
        (tmp_path / name).touch()
    assert sweep(tmp_path, "10-aa") == len(mine)
    assert names(tmp_path) == sorted(others)
    assert sweep(tmp_path, "10-aa") == 0
    assert sweep(tmp_path / "none", "10-aa") == 0


def test_a_failed_sweep_names_the_path(tmp_path: Path) -> None:
    (tmp_path / "10-aa.jpg").mkdir()
    with pytest.raises(ArchiveUnwritable, match=str(tmp_path)):
        sweep(tmp_path, "10-aa")
    with pytest.raises(ArchiveUnwritable, match="xxx"):
        sweep(tmp_path / ("x" * 300), "10-aa")
