"""The command line."""


def main() -> None:
    raise SystemExit("market-photos: not yet")
