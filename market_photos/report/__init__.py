"""Who hears of a run when nobody watches: an address that is called, a command, a file for Prometheus.

None of it can fail a run: what goes wrong here is a warning.
"""
