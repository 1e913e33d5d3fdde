"""What holds for every test: compiled modules are kept, and the slow tests begin first."""

import os
import sys

import pytest

# The program is started several hundred times, and each worker imports every test.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the tests marked `slow`, so that none of them runs alone at the end.

    `--dist worksteal` gives each worker an equal share of the list, one after the other: each share begins with its
    part of the slow tests. The others keep their order, as neighbours share fixtures.
    """
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    slow = [item for item in items if item.get_closest_marker("slow")]
    quick = [item for item in items if not item.get_closest_marker("slow")]
    cuts = [len(quick) * number // workers for number in range(workers + 1)]
    items[:] = [
        item
        for number in range(workers)
        for item in (*slow[number::workers], *quick[cuts[number] : cuts[number + 1]])
    ]
