"""What leaves the archive: packs of evidence, and the index as a table. Reads only; knows no network."""
