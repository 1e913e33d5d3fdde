"""Every command: its options and its main function."""
