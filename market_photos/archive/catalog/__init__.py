"""The catalogue of a store: the only code with SQL on it."""
