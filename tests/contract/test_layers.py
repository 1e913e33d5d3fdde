"""The rooms are as in ARCHITECTURE.md, and the documents name files that exist."""

import ast
import re
from pathlib import Path

import pytest

import market_photos
from market_photos import errors
from market_photos.errors import ExitCode, MarketPhotosError

PACKAGE = Path(market_photos.__file__).parent
ROOT = PACKAGE.parent
ARCHITECTURE = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")
#: Tables of the catalogue, as schema.py names them.
TABLES = set(
    re.findall(r"CREATE TABLE (?:IF NOT EXISTS )?(\w+)", (PACKAGE / "archive/catalog/schema.py").read_text())
)
#: Modules of ours that are imported inside a function, with the reason.
DEFERRED = {
    "market_photos.cli.display": "rich takes long to import, and cron needs none of it",
    "market_photos.archive.bucket_archive": "few archives are in a bucket, and obstore is an extra",
    "market_photos.reporting.prometheus": "few runs write metrics, and prometheus_client takes long to import",
}


def rows_of_the_table() -> dict[str, set[str]]:
    """Return whom each room may import, as the table of rooms in ARCHITECTURE.md says."""
    table = ARCHITECTURE.partition("## Rooms")[2].partition("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| ")][1:]
    return {cells[0].strip("`/"): set(re.split(r",\s*", cells[2])) for cells in rows}


def modules_of_the_ground() -> set[str]:
    table = ARCHITECTURE.partition("## Rooms")[2].partition("\n## ")[0]
    row = next(line for line in table.splitlines() if line.startswith("| ground |"))
    return set(re.findall(r"`(\w+)`", row))


ROWS = rows_of_the_table()
GROUND = modules_of_the_ground()


def name_of(path: Path) -> str:
    """Return the dotted name below the package: `archive.catalog.photos`."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


NAMES = {name_of(path): path for path in MODULES}


def room_of(name: str) -> str:
    top = name.partition(".")[0]
    if top in GROUND:
        return "ground"
    return "cli" if top == "__main__" else top


def imports_of(path: Path) -> dict[str, int]:
    """Return the modules of ours that a module imports, with the column of the statement: 0 at the top level."""
    found: dict[str, int] = {}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import hides where it points"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            below = name.removeprefix("market_photos.")
            module = below if below in NAMES else below.rpartition(".")[0]
            if name != below and module in NAMES:
                found[module] = max(found.get(module, 0), node.col_offset)
    return found


def test_the_table_of_rooms_knows_every_module_and_nothing_else() -> None:
    """Each room of ARCHITECTURE.md exists, and each module stands in one of them."""
    rooms = {room_of(name) for name in NAMES}
    assert rooms == set(ROWS)
    assert {name for name in NAMES if "." not in name} - {"__main__", *ROWS} == GROUND


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_module_imports_only_what_its_room_may(name: str) -> None:
    """Imports inside functions count too."""
    room = room_of(name)
    allowed = ROWS[room] | {room}
    if "everything" in allowed:
        return
    beyond = {
        module
        for module in imports_of(NAMES[name])
        if room_of(module) not in allowed and not any(f"{module}.".startswith(f"{one}.") for one in allowed)
    }
    assert not beyond, f"{name} ({room}) imports {sorted(beyond)}"


def test_the_rest_of_the_archive_does_not_import_the_catalogue() -> None:
    for name, path in NAMES.items():
        if name.startswith("archive.") and not name.startswith("archive.catalog."):
            assert not [module for module in imports_of(path) if module.startswith("archive.catalog")], name


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Remove modules that import none of the others, again and again; the rest is a circle."""
    left = {name: set(imports_of(path)) & set(NAMES) for name, path in NAMES.items()}
    while leaves := [name for name, imported in left.items() if not imported & set(left)]:
        for name in leaves:
            del left[name]
    assert not left


def test_our_imports_stand_at_the_top_of_a_file() -> None:
    deferred = {
        f"market_photos.{module}" for path in MODULES for module, column in imports_of(path).items() if column > 0
    }
    assert deferred <= set(DEFERRED)


def test_only_the_command_line_imports_click() -> None:
    importers = {name for name, path in NAMES.items() if re.search(r"^(import|from) click", path.read_text(), re.M)}
    assert importers
    assert {room_of(name) for name in importers} == {"cli"}


def test_only_the_catalogue_holds_sql_on_its_tables() -> None:
    words = re.compile(rf"\b(FROM|INTO|UPDATE|JOIN|TABLE)\s+(main\.)?({'|'.join(TABLES)})\b")
    holders = {
        name
        for name, path in NAMES.items()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and words.search(node.value)
    }
    assert "archive.catalog.photos" in holders
    assert not [name for name in holders if not name.startswith("archive.catalog.")]


def test_only_the_catalogue_and_the_pages_index_use_sqlite() -> None:
    """Browse has its own index."""
    users = {name for name, path in NAMES.items() if re.search(r"^(import|from) sqlite3", path.read_text(), re.M)}
    assert {name.rpartition(".")[0] for name in users} == {"archive.catalog", "browse"}


def test_one_file_opens_connections() -> None:
    """Elsewhere aiohttp is named for its types, or served with; nobody else may send the key anywhere."""
    calls = r"ClientSession\(|TCPConnector\(|open_connection\(|create_connection\(|urlopen\("
    openers = rf"{calls}|^(import|from) (http\.client|requests|httpx|obstore)"
    found = {name for name, path in NAMES.items() if re.search(openers, path.read_text(), re.M)}
    # The ping to a monitoring service, in another file, goes without the key.
    assert found == {"market.client", "reporting.ping", "archive.objects"}


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


def test_severity_ranks_every_code() -> None:
    assert sorted(errors.BY_SEVERITY) == sorted(ExitCode)


def test_the_readme_tells_every_exit_code() -> None:
    readme = (ROOT / "README.md").read_text()
    missing = [int(code) for code in ExitCode if not re.search(rf"(?<!\d){code:d}(?!\d)", readme)]
    assert not missing
