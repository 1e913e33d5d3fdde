"""Hand a run's stores to several processes. The engine is Dask's `distributed`, in the extra `cluster`.

The engine decides which process runs which stores, and nothing depends on it: each store has its own lock, and its
catalogue says what is left to do. The API key is not sent through the engine.
"""
