"""Exit codes: what cron hears is the most serious thing that happened."""

import pytest

from market_photos.errors import BY_SEVERITY, ExitCode, most_serious


def test_every_code_has_its_place() -> None:
    assert set(BY_SEVERITY) == set(ExitCode)
    assert len(BY_SEVERITY) == len(ExitCode)


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ([], ExitCode.COMPLETE),
        ([ExitCode.COMPLETE, ExitCode.LIMIT], ExitCode.LIMIT),
        ([ExitCode.LIMIT, ExitCode.FAILED], ExitCode.FAILED),
        ([ExitCode.FAILED, ExitCode.SERVER, ExitCode.COMPLETE], ExitCode.SERVER),
        ([ExitCode.INTERRUPTED, ExitCode.FAILED], ExitCode.INTERRUPTED),
    ],
)
def test_the_most_serious_code_wins(codes: list[ExitCode], expected: ExitCode) -> None:
    assert most_serious(codes) is expected
