"""Serve the archive as web pages, read-only: returns with their photos, and the last runs.

Pages show the catalogues as they are at that moment. The index only finds and sorts returns, and may be deleted
at any time.
"""
