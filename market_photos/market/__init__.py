"""The seller's API as we use it: what to ask, when we may, and what an answer means."""
