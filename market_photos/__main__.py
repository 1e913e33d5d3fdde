"""Run the command line: `python -m market_photos`."""

from market_photos.cli.main import main

main()
