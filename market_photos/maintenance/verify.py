"""Check stores, repair what is wrong, and word the results."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from market_photos import failpoints
from market_photos.archive import layout, lock
from market_photos.archive.catalog.catalog import Catalog
from market_photos.archive.catalog.photos import State
from market_photos.archive.files import StoreFiles
from market_photos.archive.place import Archive
from market_photos.clock import Clock, iso
from market_photos.errors import ExitCode
from market_photos.maintenance.holding import changed_store
from market_photos.maintenance.integrity import Problem, ProblemKind, Verifier
from market_photos.text import counted, human_bytes, one_line


@dataclass
class VerifyResult:
    """The result of one store. `photos` and `size` (bytes) count what was checked."""

    campaign: int
    photos: int = 0
    size: int = 0
    pruned: int = 0
    in_flight: int = 0
    counts: Counter[ProblemKind] = field(default_factory=Counter)
    queued: int = 0
    set_aside: int = 0

    @property
    def exit_code(self) -> ExitCode:
        """The exit code for this store alone."""
        return ExitCode.VERIFY if self.counts else ExitCode.COMPLETE

    def as_json(self) -> dict[str, Any]:
        """Return the result as a JSON object."""
        return {
            "campaign": self.campaign,
            "photos": self.photos,
            "bytes": self.size,
            **{kind.value: self.counts[kind] for kind in ProblemKind},
            "pruned": self.pruned,
            "in_flight": self.in_flight,
            "queued": self.queued,
            "set_aside": self.set_aside,
        }

    def line(self) -> str:
        """Return the result as a line of text."""
        problems = [f"{self.counts[kind]:,} {kind}" for kind in ProblemKind if self.counts[kind]]
        others = {
            "pruned": self.pruned,
            "in flight": self.in_flight,
            "queued for the next sync": self.queued,
            "set aside": self.set_aside,
        }
        parts = [*(problems or ["all in order"]), *(f"{count:,} {name}" for name, count in others.items() if count)]
        checked = f"{counted(self.photos, 'photo')} ({human_bytes(self.size)}) checked"
        return f"Store {self.campaign}: {checked}, {', '.join(parts)}."


def verify_store(
    archive: Archive,
    campaign: int,
    clock: Clock,
    *,
    full: bool,
    repair: bool,
    command: str,
    report: Callable[[int, Problem], None],
) -> VerifyResult:
    """Check a store and call `report` for each problem. Blocks.

    Raises CatalogUnusable, ArchiveUnwritable; with `repair` also AlreadyRunning.
    """
    folder, files = layout.store_folder(archive.catalogs, campaign), archive.files(campaign)
    result = VerifyResult(campaign)
    with ExitStack() as opened:
        store = opened.enter_context(changed_store(archive, campaign, command, clock)) if repair else None
        catalog = store.catalog if store else opened.enter_context(Catalog(folder, campaign, clock, read_only=True))

        def is_busy() -> bool:
            return not repair and lock.holder_of(folder) is not None

        catalog.check()
        verifier = Verifier(catalog, files, full=full, is_busy=is_busy)
        set_aside = []
        for problem in verifier.problems():
            result.counts[problem.kind] += 1
            report(campaign, problem)
            if repair and _repair(catalog, files, problem, result, iso(clock.now().wall)[:10]):
                set_aside.append(problem.path)
        if store and set_aside:
            store.keep()
            failpoints.point("repair-kept")
            for path in set_aside:
                store.require_held()
                files.remove(path)
        result.photos, result.size, result.in_flight = verifier.photos, verifier.size, verifier.in_flight
        result.pruned = catalog.photos.tally()[State.PRUNED].photos
    return result


def _repair(catalog: Catalog, files: StoreFiles, problem: Problem, result: VerifyResult, day: str) -> bool:
    """Set the file aside and queue its photo or record; return whether there was a file.

    Deletes nothing, and leaves unknown files alone.
    """
    if problem.kind is ProblemKind.UNKNOWN:
        return False
    if problem.kind is not ProblemKind.MISSING:
        # Before the photo is queued: otherwise a kill here and then a sync would replace the file.
        files.set_aside(problem.path, day)
        result.set_aside += 1
        failpoints.point("set-aside")
    if problem.photo is not None:
        catalog.mending.queue_again(problem.photo.row, f"verify: {problem.kind}: {problem.detail}")
        result.queued += 1
    elif problem.return_row is not None:
        catalog.mending.save_again(problem.return_row)
        result.queued += 1
    failpoints.point("requeued")
    return problem.kind is not ProblemKind.MISSING


def problem_line(campaign: int, problem: Problem) -> str:
    """Return the problem as a line of text: kind, path and detail."""
    return one_line(f"{problem.kind:8} {Path(str(campaign)) / problem.path}: {problem.detail}")


def problem_json(problem: Problem) -> dict[str, Any]:
    """Return the problem as a JSON object."""
    return {"kind": problem.kind.value, "path": str(problem.path), "detail": problem.detail}


def next_steps(results: Iterable[VerifyResult], *, repair: bool) -> Iterator[str]:
    """Yield what the user should do next, one line each."""
    kinds = {kind for result in results for kind in result.counts}
    if kinds - {ProblemKind.UNKNOWN}:
        if repair:
            yield f"Run `market-photos sync` to download what is queued. Changed files are in {layout.SET_ASIDE}/."
        else:
            yield (
                "Run `market-photos verify --repair`: it queues what is missing or changed, and deletes nothing. "
                "Then run `market-photos sync`."
            )
    if ProblemKind.UNKNOWN in kinds:
        yield "Unknown files are left as they are. If they are yours, move them out of photos/."
