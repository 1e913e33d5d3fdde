"""What starts a sync every night: a line for cron, units for systemd. Pure but for `program` and `user`."""

import getpass
import os
import re
import shlex
import sys
from pathlib import Path

_SERVICE = """\
[Unit]
Description=Photos that buyers attached to returns on Yandex Market
Wants=network-online.target
After=network-online.target

[Service]
Type=oneshot
User={user}
ExecStart={command}
TimeoutStartSec=infinity
TimeoutStopSec=30
SuccessExitStatus=143
ProtectSystem=strict
ReadWritePaths={archive}
PrivateTmp=yes
NoNewPrivileges=yes
UMask=0077
"""
TIMER = """\
[Unit]
Description=Photos of returns on Yandex Market, every night

[Timer]
OnCalendar=*-*-* 03:15
RandomizedDelaySec=10min
Persistent=true

[Install]
WantedBy=timers.target
"""


def program() -> list[str]:
    """Return the words that start this installation from any folder and without PATH."""
    path = Path(sys.argv[0]).absolute()
    return [str(path)] if path.is_file() and path.name != "__main__.py" else [sys.executable, "-m", "market_photos"]


def user() -> str:
    """Return the user of this process by name, or by number if the system knows no name for it."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def crontab_line(command: list[str], config: Path) -> str:
    """Return the line of a crontab that syncs every night."""
    line = sync_line(command, config, "--quiet")
    return f"15 3 * * *  {line.replace('%', chr(92) + '%')}"  # cron ends a command at %


def sync_line(command: list[str], config: Path, *options: str) -> str:
    """Return the line of a shell that syncs once."""
    return shlex.join([*command, "sync", *options, "--config", str(config)])


def service(command: list[str], config: Path, archive: Path, user: str) -> str:
    """Return the systemd service that syncs once."""
    words = [*command, "sync", "--config", str(config)]
    return _SERVICE.format(
        user=user,
        command=" ".join(_quoted(word).replace("$", "$$") for word in words),
        archive=_quoted(str(archive)),
    )


def _quoted(word: str) -> str:
    """Return a word as systemd reads it: % begins a specifier, spaces and quotes need quotes."""
    word = word.replace("%", "%%")
    if re.fullmatch(r"[^\s\"'\\;]+", word):
        return word
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'
