"""A token that stays: kept in a file, so that the addresses which clerks have saved go on working."""

import os
import re
import secrets
import stat
from pathlib import Path

from market_photos.errors import ConfigError

_TOKEN = re.compile(r"[A-Za-z0-9_-]{16,200}", re.ASCII)


def new_token() -> str:
    """Return a token that nobody can guess."""
    return secrets.token_urlsafe(24)


def kept_token(path: Path) -> str:
    """Return the token in a file that only its owner can read; make the file if it is missing. Raises ConfigError."""
    try:
        _create(path, new_token())
        mode, text = stat.S_IMODE(path.stat().st_mode), path.read_text(encoding="utf-8-sig", errors="replace").strip()
    except OSError as error:
        raise ConfigError(f"token_file {path}: {error.strerror}.", "Check the path and its permissions.") from None
    if mode & 0o077:
        raise ConfigError(f"token_file {path}: other users of this machine can read it.", f"Run: chmod 600 {path}")
    if not _TOKEN.fullmatch(text):
        raise ConfigError(
            f"token_file {path}: is not a token of 16 to 200 letters, digits, - and _.",
            "Delete the file: browse makes a new one.",
        )
    return text


def _create(path: Path, token: str) -> None:
    """Write a new file with mode 0600; leave one that exists."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(f"{token}\n")
