"""Do the same for each store of an archive: the error of one costs the others nothing."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from market_photos import console
from market_photos.archive.catalog.reader import KnownReturn, only_return, returns_numbered
from market_photos.archive.place import Archive
from market_photos.archive.stores import chosen, known_stores
from market_photos.errors import CatalogUnusable, ExitCode, MarketPhotosError, most_serious

T = TypeVar("T")


class EachStore:
    """The errors of stores, each printed when it comes, while the work goes on with the other stores."""

    def __init__(self) -> None:
        self._errors: dict[int, MarketPhotosError] = {}

    def fetch(self, archive: Archive, campaigns: Iterable[int] = ()) -> None:
        """Bring the catalogues of the given stores, or of all, up to date. Raises ArchiveUnwritable."""
        for campaign, error in archive.fetch_each(campaigns).items():
            self.fail(campaign, error)

    def select(self, archive: Archive, campaigns: Iterable[int] = ()) -> list[int]:
        """Return the given stores, or all, with catalogues that are up to date; without those that had an error.

        Raises UsageError if a store or all are missing, ArchiveUnwritable.
        """
        self.fetch(archive, campaigns)
        return self.sound(chosen(archive.name, self.known(archive), campaigns))

    def known(self, archive: Archive) -> list[int]:
        """Return the stores whose catalogues are here, and those that had an error, sorted."""
        return sorted({*known_stores(archive.catalogs), *self._errors})

    def sound(self, stores: Iterable[int]) -> list[int]:
        """Return those of the stores that had no error."""
        return [campaign for campaign in stores if campaign not in self._errors]

    def results(self, stores: Iterable[int], work: Callable[[int], T]) -> list[T]:
        """Return what the work on each store returned; a store with an error has no result."""
        results = []
        for campaign in stores:
            try:
                results.append(work(campaign))
            except MarketPhotosError as error:
                self.fail(campaign, error)
        return results

    def find_return(
        self, archive: Archive, campaigns: Iterable[int], return_id: int, order: int | None
    ) -> KnownReturn:
        """Return the only return with this number, of this order where one is given, in the given stores or in all.

        Raises UsageError where there is none or several; `refusal` where a store that had an error may have it.
        """
        return only_return(self.find_returns(archive, campaigns, order, [return_id]), return_id, order)

    def find_returns(
        self, archive: Archive, campaigns: Iterable[int], order: int | None, return_ids: Sequence[int]
    ) -> list[KnownReturn]:
        """Return the returns of an order, those with these ids, or both, in the given stores or in all.

        Raises UsageError if a store or all are missing; `refusal` where a store that had an error may have a number
        that no other has.
        """
        stores = self.select(archive, campaigns)
        per_store = self.results(
            stores, lambda campaign: returns_numbered(archive.catalogs, campaign, order, return_ids)
        )
        found = [known for of_store in per_store for known in of_store]
        lacking = sorted({*return_ids} - {known.return_id for known in found})
        if self._errors and (lacking or not found):
            what = f"return {', '.join(map(str, lacking))}" if lacking else f"order {order}"
            raise self.refusal(
                f"No store that can be read has {what}.", f"{self.named()} may have it: see the error above."
            )
        return found

    def refusal(self, message: str, hint: str) -> MarketPhotosError:
        """Return an error that follows from those of the stores, with the most serious of their codes."""
        error = CatalogUnusable(message, hint)
        error.exit_code = self.exit_code()
        return error

    def named(self) -> str:
        """Return the stores that had an error, at the beginning of a sentence."""
        return f"Store {', '.join(map(str, sorted(self._errors)))}"

    def fail(self, campaign: int, error: MarketPhotosError) -> None:
        """Print the error of a store, and keep it."""
        console.say_error(error)
        self._errors[campaign] = error

    @property
    def failed(self) -> set[int]:
        """The stores that had an error."""
        return set(self._errors)

    def exit_code(self, *others: ExitCode) -> ExitCode:
        """Return the most serious code of the errors and of `others`."""
        return most_serious([*others, *(error.exit_code for error in self._errors.values())])

    def as_json(self) -> dict[str, list[dict[str, Any]]]:
        """Return the key `errors` of the JSON object of a command."""
        told = [
            {"campaign": campaign, "message": error.message, "hint": error.hint, "exit_code": int(error.exit_code)}
            for campaign, error in self._errors.items()
        ]
        return {"errors": told}
