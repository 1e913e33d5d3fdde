"""What is on disk: where a photo lives, how it gets there whole, and the catalogue that knows of it."""
