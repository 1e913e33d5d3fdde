"""What a pack is of."""

from collections.abc import Mapping
from typing import NamedTuple

_ENGLISH = {"order": "order", "return": "return"}


class Wanted(NamedTuple):
    """An order, or some returns, or some returns of one order."""

    order: int | None
    returns: tuple[int, ...]

    @property
    def name(self) -> str:
        """For the folder inside the zip: plain ASCII, for every unzipper there is."""
        if self.order is not None:
            return f"order-{self.order}"
        first, *more = sorted(self.returns)
        return f"return-{first}" + f"-and-{len(more)}-more" * bool(more)

    def described(self, labels: Mapping[str, str] = _ENGLISH) -> str:
        """`order 40000123, return 51, 52`."""
        order = [f"{labels['order']} {self.order}"] * (self.order is not None)
        returns = [f"{labels['return']} {', '.join(map(str, self.returns))}"] * bool(self.returns)
        return ", ".join(order + returns)
