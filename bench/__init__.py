"""Measurements: how fast against the bound and beside other tools, and how flat as an archive grows."""
