"""Which returns a pack contains."""

from typing import NamedTuple


class Selection(NamedTuple):
    """An order, or some returns, or some returns of one order."""

    order: int | None
    returns: tuple[int, ...]

    @property
    def name(self) -> str:
        """The name of the folder inside the zip: plain ASCII, which every unpacker understands."""
        if self.order is not None:
            return f"order-{self.order}"
        first, *more = sorted(self.returns)
        return f"return-{first}" + f"-and-{len(more)}-more" * bool(more)

    def describe(self, order_noun: str = "order", return_noun: str = "return") -> str:
        """Return `order 40000123, return 51, 52`."""
        order = [f"{order_noun} {self.order}"] * (self.order is not None)
        returns = [f"{return_noun} {', '.join(map(str, self.returns))}"] * bool(self.returns)
        return ", ".join(order + returns)
