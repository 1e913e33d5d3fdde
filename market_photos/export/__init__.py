"""Export packs of evidence and the index of the archive. Only reads the archive, and sends no requests."""
