"""Returns that await a decision, from the Market's answer to the list, the report and the hook."""

import http.server
import json
import shlex
import shutil
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ClassVar
from urllib.parse import parse_qs

import pytest

from tests.integration.harness import CAMPAIGN, World

DBS, OTHERS = "WAITING_FOR_DECISION", "PREMODERATION_DECISION_WAITING"


def hours_ago(hours: float) -> datetime:
    return datetime.now(UTC) - timedelta(hours=hours)


def test_returns_await_until_the_listing_after_the_decision(world: World) -> None:
    """Both kinds, most urgent first, in `awaiting`, `status` and the report; the hook hears of each once."""
    store = world.market.stores[CAMPAIGN]
    told = world.folder / "told"
    script = "import sys; open(sys.argv[1], 'a').write(sys.stdin.read())"
    world.settings["report"] = {"on_finish": shlex.join([sys.executable, "-c", script, str(told)])}
    late = store.add_return(2, created=hours_ago(45), updated=hours_ago(45), refundStatus=OTHERS)
    early = store.add_return(0, created=hours_ago(5), updated=hours_ago(5), refundStatus=DBS, comment="Скол\nна углу")
    store.add_return(1, refundStatus="REFUND_IN_PROGRESS")

    report = world.command("sync", "--json").json
    assert report["awaiting"]["count"] == 2
    assert report["awaiting"]["most_urgent"]["return"] == late.id
    found = world.command("awaiting", "--json").json
    assert [(entry["return"], entry["status"], entry["photos"]) for entry in found] == [
        (late.id, OTHERS, 2),
        (early.id, DBS, 0),
    ]
    assert [round(entry["hours_left"]) for entry in found] == [3, 43]
    assert world.command("status", "--json").json["stores"][0]["awaiting"]["count"] == 2
    assert "2 returns await your decision; most urgent: order" in world.command("status").stdout
    text = world.command("awaiting").stdout
    assert text.startswith("2 returns await your decision. Hours left are an estimate")
    assert "Скол на углу" in text
    assert f"Store {CAMPAIGN}" in text.splitlines()[-1]

    late.fields["refundStatus"] = "PREMODERATION_DECISION_MADE"
    late.updated = datetime.now(UTC)
    report = world.command("sync", "--json").json
    assert (report["awaiting"]["count"], report["newly_awaiting"]) == (1, [])
    assert [entry["return"] for entry in world.command("awaiting", "--json").json] == [early.id]
    heard = [
        [entry["return"] for entry in json.loads(line)["newly_awaiting"]] for line in told.read_text().splitlines()
    ]
    assert heard == [[late.id, early.id], []]


def test_photos_of_awaiting_returns_come_before_newer_ones(world: World) -> None:
    store = world.market.stores[CAMPAIGN]
    waiting = store.add_return(2, created=hours_ago(40), updated=hours_ago(40), refundStatus=DBS)
    store.add_return(3, created=hours_ago(1), updated=hours_ago(1), refundStatus="REFUNDED")
    report = world.command("sync", "--max-photos", "2", "--json").json
    assert report["downloaded"] == 2
    [entry] = world.command("awaiting", "--json").json
    assert (entry["return"], entry["photos"], entry["pending"]) == (waiting.id, 2, 0)


def test_neither_a_dry_run_nor_the_fetch_of_one_return_uses_up_the_news(world: World) -> None:
    waiting = world.market.stores[CAMPAIGN].add_return(1, refundStatus=DBS)
    world.command("sync", "--dry-run")
    numbers = ["--campaign", str(CAMPAIGN), "--order", str(waiting.order), "--return", str(waiting.id)]
    world.command("fetch", *numbers)
    report = world.command("sync", "--json").json
    assert [entry["return"] for entry in report["newly_awaiting"]] == [waiting.id]


class Chat(http.server.BaseHTTPRequestHandler):
    """Keeps the path and the form of each call."""

    calls: ClassVar[list[tuple[str, dict[str, list[str]]]]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.calls.append((self.path, parse_qs(body)))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.mark.skipif(not shutil.which("curl"), reason="no curl on this machine")
def test_the_example_tells_a_chat_once(world: World) -> None:
    """With the numbers and the hours left, and nothing where there is no news."""
    Chat.calls.clear()
    token = world.folder / "token"
    token.write_text("123:secret\n")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Chat)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    script = Path(__file__).parents[2] / "examples" / "tell-chat.sh"
    settings = {"TOKEN_FILE": token, "API": f"http://127.0.0.1:{server.server_port}", "CHAT": "-5"}
    words = ["env", *(f"{name}={value}" for name, value in settings.items()), str(script)]
    world.settings["report"] = {"on_finish": shlex.join(words)}
    back = world.market.stores[CAMPAIGN].add_return(1, created=hours_ago(7), updated=hours_ago(7), refundStatus=DBS)
    try:
        assert "on_finish" not in world.command("sync").stderr
        assert "on_finish" not in world.command("sync").stderr
    finally:
        server.shutdown()
        server.server_close()
    [(path, form)] = Chat.calls
    assert (path, form["chat_id"]) == ("/bot123:secret/sendMessage", ["-5"])
    assert form["text"][0].startswith("Ждут вашего решения: 1\n")
    assert f"Заказ {back.order}, возврат {back.id}" in form["text"][0]
    assert "фото — 1, осталось примерно 41 ч" in form["text"][0]
