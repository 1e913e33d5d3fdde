"""Bulk downloader of the photos that buyers attach to returns on Yandex Market.

The names of `__all__` are the Python interface. They follow semantic versioning; everything else may change with any
release.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from market_photos.api import Archive, Photo, Report, Return, State, StoreReport
    from market_photos.errors import ExitCode, MarketPhotosError

__version__ = "0.1.0"
__all__ = ["Archive", "ExitCode", "MarketPhotosError", "Photo", "Report", "Return", "State", "StoreReport"]


def __getattr__(name: str) -> Any:
    """Import the interface when it is used, so that the command line starts without it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("market_photos.api"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
