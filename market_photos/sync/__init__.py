"""The job: from pages of returns to photos on disk."""
