"""Files that browse sends are closed, also when the server ends."""

import io
import threading
from concurrent.futures import ThreadPoolExecutor

from market_photos.browse.file_stream import close_in


def test_a_file_whose_turn_does_not_come_before_the_end_is_closed() -> None:
    threads, file, may_end = ThreadPoolExecutor(1), io.BytesIO(), threading.Event()
    threads.submit(may_end.wait, 10)
    close_in(threads, file.close)
    assert not file.closed
    threads.shutdown(wait=False, cancel_futures=True)
    assert file.closed
    may_end.set()
    late = io.BytesIO()
    close_in(threads, late.close)
    assert late.closed
