"""Bulk downloader of the photos that buyers attach to returns on Yandex Market."""

__version__ = "0.1.0"
