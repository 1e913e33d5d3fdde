"""What a run did so far."""

from dataclasses import dataclass, field


@dataclass
class Counters:
    """What this run did for one store; progress and summary read it."""

    pages: int = 0
    returns: int = 0
    found: int = 0
    requests: int = 0
    downloaded: int = 0
    size: int = 0
    gone: int = 0
    failed: int = 0
    internal_errors: int = 0
    """Errors of the program itself, each with its traceback in the log; what they concern counts as failed."""
    listing: str = ""
    """The span that is being listed; empty when the listing is over."""
    unreadable: int = 0
    problems: list[str] = field(default_factory=list)
    """What could not be read, in words; the first few."""
