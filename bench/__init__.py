"""Measurements: speed beside other tools and beside the bound, and the cost of a growing archive."""
