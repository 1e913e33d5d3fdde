"""Do the same for each store of an archive: the error of one costs the others nothing."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from market_photos import console
from market_photos.errors import ExitCode, MarketPhotosError, most_serious

T = TypeVar("T")


class EachStore:
    """The errors of stores, each printed when it comes, while the work goes on with the other stores."""

    def __init__(self) -> None:
        self._errors: dict[int, MarketPhotosError] = {}

    def results(self, stores: Iterable[int], work: Callable[[int], T]) -> list[T]:
        """Return what the work on each store returned; a store with an error has no result."""
        results = []
        for campaign in stores:
            try:
                results.append(work(campaign))
            except MarketPhotosError as error:
                self.fail(campaign, error)
        return results

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
