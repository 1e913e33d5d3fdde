"""Verify, rebuild and prune an archive, and hold returns. Sends no requests."""
