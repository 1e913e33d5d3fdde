"""The house stands as design says: imports point one way, one file opens connections, the docs tell what is there."""

import ast
import re
from pathlib import Path

import pytest

import market_photos
from market_photos import errors
from market_photos.config import Settings
from market_photos.errors import ExitCode, MarketPhotosError

PACKAGE = Path(market_photos.__file__).parent
ROOT = PACKAGE.parent
#: Whom a room may import, beside itself.
MAY: dict[str, set[str]] = {
    "archive": {"clock", "errors", "failpoints", "model", "record"},
    "browse": {"archive", "clock", "errors", "model", "pages", "record", "reporting", "settings", "text"},
    "clock": set(),
    "config": {"errors", "settings"},
    "console": {"errors", "streams"},
    "errors": set(),
    "export": {"archive", "clock", "config", "console", "errors", "pages", "record", "text"},
    "failpoints": set(),
    "maintenance": {"archive", "clock", "errors", "failpoints", "market", "model", "settings", "text"},
    "market": {"clock", "console", "errors", "model", "proxies", "settings", "wakeup"},
    "model": {"console"},
    "pages": {"clock", "record", "text"},
    "proxies": {"errors"},
    "record": {"model", "text"},
    "report": set(),
    "reporting": {"archive", "clock", "config", "console", "errors", "market", "proxies", "settings", "text"},
    "sandbox": {"clock"},
    "settings": set(),
    "streams": set(),
    "sync": {
        "archive",
        "cli",
        "clock",
        "config",
        "console",
        "errors",
        "failpoints",
        "market",
        "reporting",
        "settings",
        "text",
        "wakeup",
    },
    "text": set(),
    "wakeup": set(),
}
MODULES = sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """Dotted names of all that the module imports, inside functions too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide where they point"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def rooms_imported(path: Path) -> set[str]:
    own = [name.split(".")[1] for name in imported(path) if name.startswith("market_photos.")]
    return set(own) - {"__version__"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_one_way(path: Path) -> None:
    """cli → sync, browse → market, archive → config, errors, clock, model; market and archive are strangers."""
    room = room_of(path)
    if room in MAY:
        beyond = rooms_imported(path) - MAY[room] - {room}
        assert not beyond, f"{path} reaches into {beyond}"


def test_the_import_check_finds_forbidden_imports() -> None:
    assert "market" in rooms_imported(PACKAGE / "sync" / "run.py")
    assert {"market", "archive", "sync"} <= {room_of(path) for path in MODULES}


def test_the_archive_does_not_import_its_catalogue() -> None:
    """archive/catalog/ imports the rest of archive/, never the other way round."""
    rest = (PACKAGE / "archive").glob("*.py")
    assert not [path.name for path in rest if any(".archive.catalog" in name for name in imported(path))]


def test_sql_on_the_catalogue_stays_in_its_room() -> None:
    """Browse uses SQLite for its own index; rebuild asks only which store a damaged catalogue belongs to."""
    users = {str(path.relative_to(PACKAGE).parent) for path in MODULES if imports_any(path, {"sqlite3"})}
    assert users <= {"archive/catalog", "browse"}
    openers = {path.name for path in MODULES if any(".catalog.opening." in name for name in imported(path))}
    assert openers == {"catalog.py", "connection.py", "reader.py", "rebuild.py"}


def test_one_file_opens_connections() -> None:
    """Elsewhere aiohttp is named for its types, or served with; nobody else may send the key anywhere."""
    openers = {"aiohttp.ClientSession", "aiohttp.request", "urllib.request", "http.client", "requests", "httpx"}
    calls = re.compile(r"ClientSession\(|TCPConnector\(|open_connection\(|create_connection\(|urlopen\(")
    reads_environment = {"urllib.request.getproxies", "urllib.request.proxy_bypass"}
    found = {
        str(path.relative_to(PACKAGE))
        for path in MODULES
        if calls.search(path.read_text())
        or any(name.startswith(tuple(openers)) for name in imported(path) - reads_environment)
    }
    assert "market/client.py" in found
    # A ping to a monitoring service goes without the key, from a file of its own.
    assert found <= {"market/client.py", "reporting/ping.py", "sync/ping.py"}


def test_one_file_imports_what_pages_are_made_with() -> None:
    """Jinja2 and Babel take a tenth of a second to load, which only commands with pages may cost."""
    users = {str(path.relative_to(PACKAGE)) for path in MODULES if imports_any(path, {"jinja2", "babel"})}
    assert users == {"pages.py"}


def imports_any(path: Path, packages: set[str]) -> bool:
    return any(name.split(".")[0] in packages for name in imported(path))


def test_the_drawn_tree_of_errors_is_the_classes() -> None:
    """Name, parent and exit code, as errors.py draws them."""
    drawn = re.findall(r"^    ([│├└─ ]*)([A-Z]\w+) +(\d+)? ", errors.__doc__ or "", re.MULTILINE)
    parents: dict[int, str] = {}
    told = {}
    for indent, name, code in drawn:
        depth = len(indent) // 4
        parents[depth] = name
        told[name] = (parents.get(depth - 1, "Exception"), int(code) if code else int(ExitCode.INTERNAL))
    classes = [cls for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, MarketPhotosError)]
    assert told == {cls.__name__: (cls.__bases__[0].__name__, int(cls.exit_code)) for cls in classes}


def test_the_readme_tells_every_exit_code() -> None:
    readme = (ROOT / "README.md").read_text()
    missing = [int(code) for code in ExitCode if not re.search(rf"(?<!\d){code:d}(?!\d)", readme)]
    assert not missing


def test_the_example_tells_every_setting() -> None:
    """Each as `name = value`, commented out or not, under its section, and nothing that does not exist."""
    told: set[tuple[str, str]] = set()
    section = ""
    for line in (ROOT / "config.example.toml").read_text().splitlines():
        if match := re.match(r"#? ?\[(\w+)\]$", line.strip()):
            section = match[1]
        elif match := re.match(r"#? ?([a-z_]+) = \S", line):
            told.add((section, match[1]))
    wanted = {
        (name, key)
        for name, field in Settings.model_fields.items()
        for key in getattr(field.annotation, "model_fields", {})
    } - {("api", "key")}  # never in a file
    assert told == wanted
