"""Format numbers, sizes and durations, and clean strings that come from outside."""

import re

#: Control characters except tab and line feed, the line separators U+2028 and U+2029, and two non-characters.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufffe\uffff]")

#: What stands before the last @ of an address, after the quote and the scheme.
_BEFORE_AT = re.compile(r"^(['\"]?(?:[\w+.-]+://)?).*@", re.DOTALL)


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: `1 photo`, `1,200 photos`."""
    return f"{number:,} {noun}" + "s" * (number != 1)


def human_bytes(size: float) -> str:
    """Return a size in decimal units: `999 bytes`, `1.5 MB`."""
    for unit in ("bytes", "KB", "MB", "GB"):
        if size < 1000:
            return f"{size:,.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def human_time(seconds: float) -> str:
    """Return a duration in its two largest units: `1.5 s`, `2 min 05 s`, `3 h 20 min`, `4 days 2 h`."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes = int(seconds // 60)
    if minutes < 60:
        return f"{minutes} min {int(seconds % 60):02} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours < 48 else f"{hours // 24} days {hours % 24} h"


def encodable(value: str) -> str:
    r"""Return the string with lone surrogates, which JSON allows and UTF-8 does not, written as `\udxxx`."""
    return value.encode(errors="backslashreplace").decode()


def without_controls(value: str) -> str:
    """Return the string without control characters, in a form that UTF-8 can encode."""
    return _CONTROL.sub("", encodable(value).replace("\r\n", "\n"))


def one_line(value: str) -> str:
    """Return the string on one line, without control characters, in a form that UTF-8 can encode."""
    return without_controls(value).replace("\n", "?").replace("\t", "?")


def without_password(address: str) -> str:
    """Return the address, which may stand in quotes, without what stands before its @: it may be a password."""
    return _BEFORE_AT.sub(r"\1(not shown)@", address)
