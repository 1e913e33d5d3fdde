from market_photos.cli.main import main

main()
