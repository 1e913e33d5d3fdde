"""`python -m bench [speed|quota|growth|stores|bucket|chaos] [--quick]`: measure, and write results.md."""

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench import bucket, chaos, growth, quota, speed, stores
from bench.table import machine

PARTS: dict[str, tuple[str, Callable[..., str]]] = {
    "speed": ("Side by side", speed.report),
    "quota": ("The quota, on a virtual clock", lambda **_: quota.report()),
    "growth": ("Flat as it grows", growth.report),
    "stores": ("Stores side by side", stores.report),
    "bucket": ("An archive in a bucket", lambda **_: bucket.report()),
    "chaos": ("Kills and pauses", lambda **_: chaos.report()),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], help="what to measure; default: all")
    parser.add_argument("--quick", action="store_true", help="two minutes: small cells, one round")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of speed")
    parser.add_argument("--against", default="", help="another checkout to compare speed with")
    parser.add_argument("--only", default="", help="only the cells of speed whose name contains this: '1 MB, 0 ms'")
    parser.add_argument("--out", type=Path, default=Path("bench"), help="folder for results.md")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    text = f"# Results\n\n{machine()}\n"
    for name in options.parts or PARTS:
        title, report = PARTS[name]
        if name == "speed":
            report = partial(report, rounds=options.rounds, against=options.against, only=options.only)
        text += f"\n## {title}\n\n{report(quick=options.quick)}"
        (options.out / "results.md").write_text(text)
        sys.stderr.write(f"{name}: done\n")
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
