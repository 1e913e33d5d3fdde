"""Refusals that concern more than what was asked for: the error for a person, and the evidence for it."""

from market_photos.archive.catalog.photos import Claim
from market_photos.errors import KeyRefused, MarketPhotosError, ServerUnavailable, StoreRefused
from market_photos.market.refusals import Reaction, Refusal

#: Photos in a row that are refused as if the store were closed, after which it is believed to be.
MANY = 20
#: How many are enough at the end of a run, where no photo ever came from the store.
FEW = 3


class RefusedPhotos:
    """Photos whose answers (403, 423) would close the whole store.

    They are held until it is known whose fault it is: their own, when another photo comes; the store's, when many
    different photos in a row say the same. A held photo stays pending.
    """

    def __init__(self) -> None:
        self._held: list[tuple[Claim, Refusal]] = []

    def hold(self, claim: Claim, refusal: Refusal) -> None:
        """Raise KeyRefused, StoreRefused or ServerUnavailable where this one makes them MANY."""
        self._held.append((claim, refusal))
        if len(self._held) >= MANY:
            raise as_error(refusal, "a photo")

    def end(self, *, has_photos: bool) -> None:
        """Raise as `hold` does where FEW are enough. `has_photos`: whether a photo ever came from this store."""
        if len(self._held) >= FEW and not has_photos:
            raise as_error(self._held[-1][1], "a photo")

    def take(self) -> list[tuple[Claim, Refusal]]:
        """Return those that are held, and hold them no more: the refusals are their own."""
        taken, self._held = self._held, []
        return taken

    def __len__(self) -> int:
        return len(self._held)


def as_error(refusal: Refusal, what: str) -> MarketPhotosError:
    """A refusal that ends the work on a store, as the error for a person."""
    if refusal.reaction is Reaction.STOP_RUN:
        return KeyRefused(
            f"The API refuses the key: {refusal}.",
            "Check the key and its scopes in the seller's cabinet; `market-photos doctor` shows what the API sees.",
        )
    if refusal.reaction is Reaction.SKIP_STORE:
        return StoreRefused(
            f"The API refuses this store to the key: {refusal}.",
            "Give the key access to the store, or leave the store out: ids in [campaigns].",
        )
    if refusal.reaction is Reaction.LEAVE_STORE:
        return ServerUnavailable(f"The store is being migrated: {refusal}.", "Run the same command again later.")
    return ServerUnavailable(
        f"Could not get {what}: {refusal}.", "Nothing is lost: run the same command again when the server works."
    )
