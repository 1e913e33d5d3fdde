"""What the examples tell people to type exists: commands, options, settings, files."""

import configparser
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import click
import pytest

from market_photos.cli.main import COMMANDS, cli
from market_photos.config import ENV_CONFIG, ENV_PREFIX, Settings

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
FILES = sorted(path.name for path in EXAMPLES.iterdir())
TEXTS = [*(f"examples/{name}" for name in FILES), "README.md", "README.ru.md", "config.example.toml"]


def commands(text: str) -> list[list[str]]:
    """Each `market-photos COMMAND …` of a text as words, up to where the shell or the prose takes over."""
    lines = re.sub(
        r"\\\n\s*", " ", text.replace('", "', " ").replace('["market', "market").replace('"]', "")
    ).splitlines()
    found = [match[1] for line in lines for match in re.finditer(r"(?:^|[\s/`])market-photos ([a-z].*)", line)]
    ends = r"[`|<>;&)\[]|\s#|\s{2,}| \.\.\.|…|: "
    return [shlex.split(re.split(ends, words)[0]) for words in found]


def names_command(words: list[str]) -> bool:
    return bool(words) and words[0] in COMMANDS


def test_every_example_is_known_here() -> None:
    """A new example gets its test."""
    assert FILES == [
        "Dockerfile",
        "crontab",
        "kubernetes.yaml",
        "market-photos-browse.service",
        "market-photos-worker.service",
        "market-photos.service",
        "market-photos.timer",
        "nginx.conf",
        "nightly.sh",
        "tell-chat.sh",
    ]


@pytest.mark.parametrize("name", TEXTS)
def test_commands_in_examples_parse(name: str) -> None:
    """Click accepts them: the command and every option exist, and the values have the right type."""
    for words in filter(names_command, commands((ROOT / name).read_text(encoding="utf-8"))):
        command = cli.get_command(click.Context(cli), words[0])
        assert command
        # names in capitals stand for numbers
        given = ["7" if re.fullmatch(r"[A-Z]", word) else word for word in words[1:]]
        try:
            command.make_context(words[0], given, resilient_parsing=False)
        except click.MissingParameter:
            assert not given, words  # the command is merely named
        except click.ClickException as error:
            raise AssertionError(f"{name}: {shlex.join(words)}: {error.format_message()}") from error


@pytest.mark.parametrize(
    "name",
    [
        "crontab",
        "market-photos.service",
        "market-photos-browse.service",
        "market-photos-worker.service",
        "kubernetes.yaml",
        "Dockerfile",
        "nightly.sh",
    ],
)
def test_commands_are_found_in_every_example(name: str) -> None:
    """Otherwise the test above could pass without a command."""
    assert list(filter(names_command, commands((EXAMPLES / name).read_text(encoding="utf-8"))))


@pytest.mark.parametrize("name", TEXTS)
def test_variables_in_examples_are_settings(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    for variable in re.findall(rf"\b{ENV_PREFIX}([A-Z_]+)\b", text):
        if ENV_PREFIX + variable == ENV_CONFIG:
            continue
        section, _, setting = variable.lower().partition("_")
        assert setting in Settings.model_fields[section].annotation.model_fields, variable  # type: ignore[union-attr]


def test_files_named_in_the_dockerfile_exist() -> None:
    """COPY takes from the repository; nothing that the package needs is forgotten."""
    text = (EXAMPLES / "Dockerfile").read_text()
    copied = [line.split()[1:-1] for line in text.splitlines() if line.startswith("COPY") and "--from" not in line]
    names = [name for line in copied for name in line if not name.startswith("--")]
    assert "pyproject.toml" in names
    assert all((ROOT / name).exists() for name in names)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {project["readme"], *project["license-files"]} <= set(names)
    assert re.search(r"^USER 10001", text, re.MULTILINE)


def test_the_objects_of_kubernetes_belong_together() -> None:
    """Every pod may write to its scratch folder, finds its certificates, and reaches the scheduler by its name."""
    yaml = pytest.importorskip("yaml")
    objects = {(found["kind"], found["metadata"]["name"]): found["spec"] for found in _objects(yaml)}
    names = {name for kind, name in objects if kind == "Service"}
    jobs = objects["CronJob", "sync"]["jobTemplate"]["spec"]["template"]["spec"]
    pods = [objects["Deployment", name]["template"]["spec"] for name in ("scheduler", "worker")] + [jobs]
    for pod in pods:
        [container] = pod["containers"]
        volumes = {volume["name"] for volume in pod["volumes"]}
        assert {mount["name"] for mount in container["volumeMounts"]} == volumes
        assert pod["securityContext"]["fsGroup"] == 10001  # of the image's user
        address = next((word for word in container["command"] if word.startswith("tls://")), "tls://scheduler:8786")
        assert address.removeprefix("tls://").partition(":")[0] in names


def _objects(yaml: Any) -> list[dict[str, Any]]:
    found = yaml.safe_load_all((EXAMPLES / "kubernetes.yaml").read_text())
    return [one for one in found if one["kind"] != "ConfigMap"]


def test_the_systemd_units_belong_together() -> None:
    """The timer starts the service of the same name, which may write the paths that its comments name."""
    units = {}
    for kind in ("service", "timer"):
        units[kind] = configparser.RawConfigParser(strict=False)
        units[kind].optionxform = str  # type: ignore[assignment,method-assign]
        units[kind].read(EXAMPLES / f"market-photos.{kind}")
    assert "Unit" not in units["timer"]["Timer"]
    assert units["timer"]["Install"]["WantedBy"] == "timers.target"
    assert units["service"]["Service"]["ReadWritePaths"] == "/srv/return-photos"
    assert units["service"]["Service"]["ProtectSystem"] == "strict"
