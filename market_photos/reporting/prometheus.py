"""The state of the archive and of its last run, for Prometheus' textfile collector."""

import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

PREFIX = "market_photos_"


class Sample(NamedTuple):
    labels: Mapping[str, str]
    value: float


@dataclass
class Gauge:
    name: str
    meaning: str
    samples: list[Sample] = field(default_factory=list)

    def add(self, value: float | None, **labels: object) -> None:
        """None: nothing is known, so nothing is said."""
        if value is not None:
            self.samples.append(Sample({name: str(text) for name, text in labels.items()}, value))

    def lines(self) -> Iterable[str]:
        name = PREFIX + self.name
        yield f"# HELP {name} {self.meaning}"
        yield f"# TYPE {name} gauge"
        for labels, value in self.samples:
            inner = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
            yield f"{name}{{{inner}}} {value:.15g}" if inner else f"{name} {value:.15g}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def render(gauges: Iterable[Gauge]) -> str:
    """Prometheus' text format, version 0.0.4; gauges without a sample are left out."""
    return "".join(f"{line}\n" for gauge in gauges if gauge.samples for line in gauge.lines())


def write_metrics(path: Path, gauges: Iterable[Gauge]) -> None:
    """Whole or not at all: the collector may read at any moment. Readable by others, as it runs as another user.

    Raises OSError.
    """
    content = render(gauges).encode()
    # The collector reads every *.prom, so the unfinished one must not end so.
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)
