"""Verify over the stores, and its repair."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from market_photos import failpoints
from market_photos.archive import layout, lock
from market_photos.archive.catalog.catalog import Catalog
from market_photos.archive.catalog.photos import State
from market_photos.clock import Clock, iso
from market_photos.errors import ExitCode
from market_photos.maintenance import return_folder
from market_photos.maintenance.integrity import Problem, ProblemKind, Verifier
from market_photos.text import human_bytes, one_line


@dataclass
class Verified:
    """What was found in one store."""

    campaign: int
    photos: int = 0
    size: int = 0
    pruned: int = 0
    in_flight: int = 0
    counts: Counter[ProblemKind] = field(default_factory=Counter)
    queued: int = 0
    aside: int = 0

    @property
    def exit_code(self) -> ExitCode:
        return ExitCode.VERIFY if self.counts else ExitCode.COMPLETE

    def as_json(self) -> dict[str, Any]:
        return {
            "campaign": self.campaign,
            "photos": self.photos,
            "bytes": self.size,
            **{kind.value: self.counts[kind] for kind in ProblemKind},
            "pruned": self.pruned,
            "in_flight": self.in_flight,
            "queued": self.queued,
            "set_aside": self.aside,
        }

    def line(self) -> str:
        parts = [f"{self.photos:,} photos ({human_bytes(self.size)}) looked at"]
        parts += [f"{self.counts[kind]:,} {kind}" for kind in ProblemKind if self.counts[kind]] or ["all in order"]
        parts += [f"{self.pruned:,} pruned"] * bool(self.pruned)
        parts += [f"{self.in_flight:,} in flight"] * bool(self.in_flight)
        parts += [f"{self.queued:,} queued for the next sync"] * bool(self.queued)
        parts += [f"{self.aside:,} set aside"] * bool(self.aside)
        return f"Store {self.campaign}: {', '.join(parts)}."


def verify_store(
    archive: Path,
    campaign: int,
    clock: Clock,
    *,
    full: bool,
    repair: bool,
    command: str,
    tell: Callable[[int, Problem], None],
) -> Verified:
    """Blocks. `tell` hears of each problem.

    Raises CatalogUnusable, ArchiveUnwritable; for a repair AlreadyRunning.
    """
    folder = layout.store_folder(archive, campaign)
    result = Verified(campaign)
    with ExitStack() as opened:
        if repair:
            opened.enter_context(lock.Lock(folder / layout.LOCK_NAME, command, clock))
        catalog = opened.enter_context(Catalog(folder, campaign, clock, read_only=not repair))

        def is_busy() -> bool:
            return not repair and lock.held_by(folder / layout.LOCK_NAME) is not None

        catalog.check()
        verifier = Verifier(catalog, folder, full=full, is_busy=is_busy)
        for problem in verifier.problems():
            result.counts[problem.kind] += 1
            tell(campaign, problem)
            if repair:
                _repair(catalog, folder, problem, result, iso(clock.now().wall)[:10])
        result.photos, result.size, result.in_flight = verifier.photos, verifier.size, verifier.in_flight
        result.pruned = catalog.photos.tally()[State.PRUNED].photos
    return result


def _repair(catalog: Catalog, folder: Path, problem: Problem, result: Verified, day: str) -> None:
    """Nothing is deleted.

    The file goes aside first: were the photo queued first, a kill and then a sync would replace it.
    """
    if problem.kind is ProblemKind.UNKNOWN:
        return
    if problem.kind is not ProblemKind.MISSING:
        return_folder.set_aside(folder, problem.path, day)
        result.aside += 1
        failpoints.point("set-aside")
    if problem.photo is not None:
        catalog.mending.queue_again(problem.photo.row, f"verify: {problem.kind}: {problem.detail}")
        result.queued += 1
    elif problem.return_row is not None:
        catalog.mending.save_again(problem.return_row)
        result.queued += 1
    failpoints.point("requeued")


def problem_line(campaign: int, problem: Problem) -> str:
    """For people: what, where, why."""
    return one_line(f"{problem.kind:8} {Path(str(campaign)) / problem.path}: {problem.detail}")


def problem_json(problem: Problem) -> dict[str, Any]:
    return {"kind": problem.kind.value, "path": str(problem.path), "detail": problem.detail}


def advice(results: list[Verified], *, repair: bool) -> Iterator[str]:
    """What a tired person does next."""
    counts: Counter[ProblemKind] = sum((result.counts for result in results), Counter())
    if counts[ProblemKind.MISSING] or counts[ProblemKind.CHANGED] or counts[ProblemKind.TORN]:
        if repair:
            yield f"Run `market-photos sync` to fetch what is queued; changed files are in {layout.SET_ASIDE}/."
        else:
            yield "`market-photos verify --repair` queues what is missing or changed; nothing is deleted. Then: sync."
    if counts[ProblemKind.UNKNOWN]:
        yield "Unknown files are left as they are: move them out of photos/ if they are yours."
