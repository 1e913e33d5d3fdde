"""Put right what a check found wrong on disk: the next run downloads or writes it again."""

from market_photos.archive.catalog.connection import Database


class Mending:
    """The changes that a repair makes to the catalogue."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def queue_again(self, photo_row: int, why: str) -> None:
        """Make an archived photo pending."""
        with self._db.transaction() as connection:
            connection.execute(
                "UPDATE photos SET state = 'pending', changed_at = ?, note = ?, failures = 0, not_before = 0 "
                "WHERE id = ? AND state = 'archived'",
                (self._db.now(), why, photo_row),
            )

    def save_again(self, return_row: int) -> None:
        """Make the next run write return.json."""
        with self._db.transaction() as connection:
            connection.execute("UPDATE returns SET saved = 0 WHERE id = ?", (return_row,))
