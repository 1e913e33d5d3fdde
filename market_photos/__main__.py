from market_photos.cli import main

main()
