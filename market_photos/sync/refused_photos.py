"""Refusals that concern the whole store or run: the evidence for them, and the error for a person."""

from market_photos.archive.catalog.photos import Claim
from market_photos.errors import KeyRefused, MarketPhotosError, ServerUnavailable, StoreRefused
from market_photos.market.refusals import Reaction, Refusal
from market_photos.market.retry import ALIKE_AT_ONE_END

#: Photos refused in a row as if the store were closed, after which it counts as closed.
MANY = 20
#: How many are enough at the end of a run if no photo ever came from the store.
FEW = 3


class RefusedPhotos:
    """Holds photos whose answers (403, 423) would close the whole store.

    Another photo that comes shows that the refusals are the photos' own; many different photos in a row show that the
    store is closed. A held photo stays pending.
    """

    def __init__(self) -> None:
        self._held: list[tuple[Claim, Refusal]] = []

    def hold(self, claim: Claim, refusal: Refusal) -> None:
        """Hold a photo. Raises KeyRefused, StoreRefused or ServerUnavailable when they are MANY."""
        self._held.append((claim, refusal))
        if len(self._held) >= MANY:
            raise as_error(refusal, "a photo")

    def end(self, *, has_photos: bool) -> None:
        """Raise as `hold` does if FEW are enough. `has_photos`: whether a photo ever came from this store."""
        if len(self._held) >= FEW and not has_photos:
            raise as_error(self._held[-1][1], "a photo")

    def take(self) -> list[tuple[Claim, Refusal]]:
        """Return and remove the held photos: the refusals are their own."""
        taken, self._held = self._held, []
        return taken

    @property
    def suggest_other_end(self) -> bool:
        """Whether to try the oldest photo next: one return or one day may be closed."""
        return len(self._held) >= ALIKE_AT_ONE_END

    def __len__(self) -> int:
        return len(self._held)


def as_error(refusal: Refusal, what: str, *, of_store: bool = False) -> MarketPhotosError:
    """Return the error for a person of a refusal that ends the run of a store.

    `what` was requested; `of_store`: it must exist if the store does.
    """
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
    if of_store and refusal.reaction is Reaction.FORGET and refusal.documented:
        return StoreRefused(
            f"There is no such store for this key: {refusal}.",
            "Check its number, or give the key access to it in the seller's cabinet.",
        )
    if refusal.reaction is Reaction.LEAVE_STORE:
        return ServerUnavailable(f"The store is being migrated: {refusal}.", "Run the same command again later.")
    return ServerUnavailable(f"Could not get {what}: {refusal}.", _what_to_check(refusal))


def _what_to_check(refusal: Refusal) -> str:
    if refusal.status is None:
        check = "Check the network, the proxy (HTTPS_PROXY, NO_PROXY) and base_url in [api]."
    elif refusal.reaction in (Reaction.FORGET, Reaction.GIVE_UP):
        check = "Check base_url in [api], and the proxy if there is one: the API does not answer like this."
    else:
        check = "Run the same command again when the server works."
    return f"{check} Nothing is lost."
