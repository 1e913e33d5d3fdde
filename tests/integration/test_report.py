"""[report] informs a monitor, a command and a file, all of them real; none of them can fail a run."""

import http.server
import json
import re
import shlex
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from pydantic import SecretStr

from market_photos import console
from market_photos.cli.run import execute
from market_photos.config import Settings
from market_photos.errors import ExitCode, KeyRefused
from market_photos.model import ReturnRef
from market_photos.reporting.hook import run_hook
from market_photos.reporting.ping import MOST_BYTES, ping
from market_photos.reporting.summary import full_report
from market_photos.sandbox import ALWAYS, Market, Sandbox, actions, running
from market_photos.settings import Api, Archive, Limits, Report
from market_photos.sync.plan import Nightly, OneReturn, Plan
from market_photos.sync.run import Options

SYNC = Nightly()


class Monitor(http.server.ThreadingHTTPServer):
    """Keeps what it is told: (path, body, headers). `status`, `headers`, `delay`: how it answers."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Call)
        self.calls: list[tuple[str, str, dict[str, str]]] = []
        self.status = 200
        self.headers: dict[str, str] = {}
        self.delay = 0.0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/secret-uuid"

    @property
    def paths(self) -> list[str]:
        return [path for path, _, _ in self.calls]


class _Call(http.server.BaseHTTPRequestHandler):
    server: Monitor

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        self.server.calls.append((self.path, body, dict(self.headers)))
        time.sleep(self.server.delay)
        self.send_response(self.server.status)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def monitor() -> Iterator[Monitor]:
    server = Monitor()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    market = Market(seed=3)
    market.populate(stores=2, returns=4, photos=6)
    with running(market) as server:
        yield server


def settings(sandbox: Sandbox, tmp_path: Path, **report: object) -> Settings:
    return Settings(
        api=Api(base_url=sandbox.url, key=SecretStr(sandbox.market.key)),
        archive=Archive(directory=tmp_path / "archive", min_free_bytes=0),
        limits=Limits(photo_requests=100, period_seconds=3600),
        report=Report.model_validate(report),
    )


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def test_a_monitor_is_pinged_at_start_and_end(sandbox: Sandbox, monitor: Monitor, tmp_path: Path) -> None:
    """`/start` first; the bare address with the summary when the exit code is 0."""
    report = execute(settings(sandbox, tmp_path, ping_url=monitor.url), SYNC, Options("sync"), quiet=True)
    assert report.exit_code is ExitCode.COMPLETE
    assert monitor.paths == ["/secret-uuid/start", "/secret-uuid"]
    assert "Complete in" in monitor.calls[1][1]


def test_a_failed_run_is_reported_with_its_reasons(sandbox: Sandbox, monitor: Monitor, tmp_path: Path) -> None:
    """`/fail` for any other exit code, the errors in the body."""
    sandbox.faults.add(actions.status(404, message="no"), kind="photo", times=ALWAYS)
    report = execute(
        settings(sandbox, tmp_path, ping_url=monitor.url), SYNC, Options("sync", max_photos=0), quiet=True
    )
    assert report.exit_code is ExitCode.LIMIT
    assert monitor.paths[-1] == "/secret-uuid/fail"
    assert "exit 7" in monitor.calls[-1][1]


def test_a_run_that_fails_at_the_start_is_reported_too(sandbox: Sandbox, monitor: Monitor, tmp_path: Path) -> None:
    """The key is refused: the monitor hears why, and the error still reaches the caller."""
    wanted = settings(sandbox, tmp_path, ping_url=monitor.url)
    wrong = wanted.model_copy(update={"api": wanted.api.model_copy(update={"key": SecretStr("ACMA:wrong:00000000")})})
    with pytest.raises(KeyRefused):
        execute(wrong, SYNC, Options("sync"), quiet=True)
    assert monitor.paths == ["/secret-uuid/start", "/secret-uuid/fail"]
    assert "exit 4" in monitor.calls[1][1]


@pytest.mark.parametrize(
    ("plan", "options"),
    [
        (SYNC, Options("sync --dry-run", dry_run=True)),
        (OneReturn(ReturnRef(1, 1)), Options("fetch", campaigns=(101,))),
    ],
)
def test_only_sync_and_backfill_report(
    sandbox: Sandbox, monitor: Monitor, tmp_path: Path, plan: Plan, options: Options
) -> None:
    """A dry run or the fetch of one return must not count as the night's run."""
    metrics = tmp_path / "m.prom"
    execute(settings(sandbox, tmp_path, ping_url=monitor.url, metrics_file=metrics), plan, options, quiet=True)
    assert not monitor.calls
    assert not metrics.exists()


@pytest.mark.parametrize("fault", ["refused", "500", "redirect"])
def test_a_monitor_that_fails_does_not_fail_the_run(
    sandbox: Sandbox, monitor: Monitor, tmp_path: Path, fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A warning names the host, but not the address, as everybody who knows the address can call it."""
    console.set_up_logging(0, quiet=False)
    url = monitor.url
    if fault == "refused":
        url = f"http://127.0.0.1:{free_port()}/secret-uuid"
    elif fault == "500":
        monitor.status = 500
    else:
        monitor.status, monitor.headers = 307, {"Location": f"http://127.0.0.1:{monitor.server_port}/elsewhere"}
    report = execute(settings(sandbox, tmp_path, ping_url=url), SYNC, Options("sync"), quiet=True)
    assert report.exit_code is ExitCode.COMPLETE
    said = capsys.readouterr().err
    assert "warning: ping_url: the monitor at 127.0.0.1 did not take 'success'" in said
    assert "secret-uuid" not in said
    assert "/elsewhere" not in monitor.paths


async def test_a_monitor_that_hangs_delays_the_run_by_seconds_only(
    monitor: Monitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("market_photos.reporting.ping.TIMEOUT", 0.1)
    monitor.delay = 0.5
    began = time.monotonic()
    assert not await ping(monitor.url, "success")
    assert time.monotonic() - began < 5
    assert len(monitor.calls) == 2


async def test_a_proxy_that_refuses_is_told_without_its_password(
    monitor: Monitor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:password@127.0.0.1:{monitor.server_port}")  # knows no CONNECT
    assert not await ping("https://monitor.invalid/uuid", "success")
    assert "ClientHttpProxyError: 501" in caplog.text
    assert "password" not in caplog.text


async def test_a_long_summary_is_cut_at_its_beginning(monitor: Monitor) -> None:
    assert await ping(monitor.url, "fail", "п" * MOST_BYTES + "the errors")
    body = monitor.calls[0][1]
    assert body.endswith("the errors")
    assert len(body.encode()) <= MOST_BYTES


def test_no_receiver_of_a_report_gets_the_key(sandbox: Sandbox, monitor: Monitor, tmp_path: Path) -> None:
    """Neither monitor nor command nor metrics see it, though the Market repeats it in its error."""
    key = sandbox.market.key
    sandbox.faults.add(actions.status(500, message=f"bad {key}"), kind="returns", times=ALWAYS)
    given, metrics = tmp_path / "given", tmp_path / "m.prom"
    script = f"import os, sys; open({str(given)!r}, 'w').write(sys.stdin.read() + repr(os.environ))"
    hook = shlex.join([sys.executable, "-c", script])
    report = execute(
        settings(sandbox, tmp_path, ping_url=monitor.url, on_finish=hook, metrics_file=metrics),
        SYNC,
        Options("sync"),
        quiet=True,
    )
    assert report.exit_code is ExitCode.SERVER
    told = repr(monitor.calls) + given.read_text() + metrics.read_text()
    assert "bad (key)" in told
    assert key not in told
    assert "Api-Key" not in told


def test_the_command_gets_the_report(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As --json gives it, with the command, the times and the summary; the key is not in its environment."""
    given, names = tmp_path / "given.json", tmp_path / "names"
    script = (
        f"import os, sys; open({str(given)!r}, 'w').write(sys.stdin.read()); "
        f"open({str(names)!r}, 'w').write(' '.join(os.environ))"
    )
    hook = shlex.join([sys.executable, "-c", script])
    wanted = settings(sandbox, tmp_path, on_finish=hook)
    monkeypatch.setenv("MARKET_PHOTOS_API_KEY", sandbox.market.key)
    report = execute(wanted, SYNC, Options("sync --full"), quiet=True)
    told = json.loads(given.read_text())
    assert told["command"] == "sync --full"
    assert told["text"].splitlines()[-1].startswith("Complete")
    assert {name: told[name] for name in report.as_json()} == report.as_json()
    assert "MARKET_PHOTOS_API_KEY" not in names.read_text().split()


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import sys; print('no channel'); sys.exit(3)", "ended with exit code 3; it said: no channel"),
        ("import time; time.sleep(60)", "was not done after 1 s"),
    ],
)
def test_a_command_that_fails_is_a_warning(code: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    console.set_up_logging(0, quiet=False)
    assert not run_hook(shlex.join([sys.executable, "-c", code]), {}, 1.0)
    assert said in capsys.readouterr().err


def test_a_command_that_is_not_there_is_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    console.set_up_logging(0, quiet=False)
    assert not run_hook("/no/such/program --loud", {}, 1.0)
    assert "/no/such/program cannot be started: No such file" in capsys.readouterr().err


def test_a_command_that_reads_nothing_does_not_hang() -> None:
    """More than a pipe holds is given to one that never reads."""
    assert run_hook(shlex.join([sys.executable, "-c", ""]), {"text": "x" * 1_000_000}, 30.0)


def test_metrics_are_prometheus_text(sandbox: Sandbox, tmp_path: Path) -> None:
    """Every sample has its HELP and TYPE; the last success outlives a failed run."""
    path = tmp_path / "m.prom"
    wanted = settings(sandbox, tmp_path, metrics_file=path)
    execute(wanted, SYNC, Options("sync"), quiet=True)
    first = _samples(path.read_text())
    assert first["market_photos_run_exit_code"] == 0
    stores = list(sandbox.market.stores)
    for store in stores:
        assert first[f'market_photos_last_success_timestamp_seconds{{store="{store}"}}'] > 1.7e9
        assert first[f'market_photos_quota_left_requests{{store="{store}"}}'] <= 100
    assert sum(first[f'market_photos_photos{{state="archived",store="{store}"}}'] for store in stores) == 6
    sandbox.faults.add(actions.status(503), kind="returns", times=ALWAYS)
    execute(wanted, SYNC, Options("sync"), quiet=True)
    second = _samples(path.read_text())
    assert second["market_photos_run_exit_code"] == 8
    success = f'market_photos_last_success_timestamp_seconds{{store="{stores[0]}"}}'
    assert second[success] == first[success]
    assert not list(tmp_path.glob(".m.prom*"))


def test_a_metrics_file_that_cannot_be_written_is_a_warning(
    sandbox: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    console.set_up_logging(0, quiet=False)
    wanted = settings(sandbox, tmp_path, metrics_file=tmp_path / "none" / "m.prom")
    assert execute(wanted, SYNC, Options("sync"), quiet=True).exit_code is ExitCode.COMPLETE
    assert "metrics_file" in capsys.readouterr().err


def _samples(text: str) -> dict[str, float]:
    found, known = {}, set()
    for line in text.splitlines():
        if header := re.fullmatch(r"# (HELP|TYPE) (\w+) .+", line):
            known.add((header[1], header[2]))
            continue
        sample = re.fullmatch(r'(\w+)(\{\w+="[^"]*"(?:,\w+="[^"]*")*\})? ([-+\de.]+)', line)
        assert sample, line
        assert {("HELP", sample[1]), ("TYPE", sample[1])} <= known
        found[sample[1] + (sample[2] or "")] = float(sample[3])
    return found


@pytest.mark.parametrize(
    "variable",
    [
        "MARKET_PHOTOS_API_KEY={}",
        "market_photos_Api_key={}",
        'MARKET_PHOTOS_API={{"key": "{}"}}',
        'Market_Photos_Api={{"k\\u0065y": "AC\\u004dA:{}"}}',
        "ANY_OTHER=Api-Key {}",
    ],
)
def test_the_command_finds_the_key_in_no_variable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str
) -> None:
    """No spelling that the settings accept, and no other variable, holds it."""
    key = "ACMA:abcdefgh:12345678"
    console.redact.hide(key)
    name, _, value = variable.format(key).partition("=")
    monkeypatch.setenv(name, value)
    monkeypatch.setenv("MARKET_PHOTOS_CONFIG", "config.toml")
    script = f"import json, os; json.dump(dict(os.environ), open({str(tmp_path / 'seen')!r}, 'w'))"
    assert run_hook(shlex.join([sys.executable, "-c", script]), {}, 30)
    seen = json.loads((tmp_path / "seen").read_text())
    assert name not in seen
    assert "abcdefgh" not in "".join(seen.values())
    assert "MARKET_PHOTOS_CONFIG" in seen


def test_the_command_needs_no_temporary_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    script = f"import sys; open({str(tmp_path / 'seen')!r}, 'w').write(sys.stdin.read())"
    assert run_hook(shlex.join([sys.executable, "-c", script]), {"exit_code": 4}, 30)
    assert (tmp_path / "seen").read_text() == '{"exit_code": 4}\n'


@pytest.mark.parametrize(
    "broken",
    [
        "notifier.run_hook",
        "notifier.ping",
        "notifier.iso",
        "prometheus.write_metrics",
        "prometheus.known_stores",
    ],
)
def test_nothing_that_reports_changes_the_outcome(
    sandbox: Sandbox, monitor: Monitor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    """Any error in one of them leaves the others informed."""

    def breaks(*_: object) -> NoReturn:
        raise RuntimeError("out of order")

    monkeypatch.setattr(f"market_photos.reporting.{broken}", breaks)
    wanted = settings(
        sandbox, tmp_path, ping_url=monitor.url, on_finish="true", metrics_file=tmp_path / "photos.prom"
    )
    assert execute(wanted, SYNC, Options("sync"), quiet=True).exit_code is ExitCode.COMPLETE
    assert broken in {"notifier.ping", "notifier.iso"} or monitor.paths[-1] == "/secret-uuid"
    wrong = wanted.model_copy(update={"api": wanted.api.model_copy(update={"key": SecretStr("ACMA:wrong:00000000")})})
    with pytest.raises(KeyRefused):
        execute(wrong, SYNC, Options("sync"), quiet=True)


def test_a_dry_run_without_a_temporary_folder_says_so(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    report = execute(settings(sandbox, tmp_path), SYNC, Options("sync --dry-run", dry_run=True), quiet=True)
    assert report.exit_code is ExitCode.ARCHIVE
    assert "TMPDIR" in "\n".join(full_report(report))
