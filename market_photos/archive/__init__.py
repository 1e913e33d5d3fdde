"""The archive on disk: paths, complete files, locks, and the catalogue of each store."""
