"""Reports on runs and stores, for people and programs."""
