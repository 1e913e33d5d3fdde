"""Completion works in each shell as the README sets it up: typed at a terminal, with the Tab key."""

import re
import shutil
import sys
from pathlib import Path

import pytest

from tests.terminal import at_terminal

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_tab_key_completes_a_command_and_an_option(shell: str, tmp_path: Path) -> None:
    """The shell then runs `verify --help`; without completion that would be `veri --rep`, which does not exist."""
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    (line,) = re.findall(rf"^\$ (?:echo ')?(.*_MARKET_PHOTOS_COMPLETE={shell}_source.*?)(?:' >>.*)?$", README, re.M)
    program = tmp_path / "bin" / "market-photos"
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable}\nfrom market_photos.cli.main import main\nmain()\n")
    program.chmod(0o755)
    environment = {"HOME": str(tmp_path), "PATH": f"{program.parent}:/usr/bin:/bin", "PYTHONPATH": str(Path.cwd())}
    environment |= {"TERM": "dumb", "LANG": "C.UTF-8"}
    if shell == "fish":
        (tmp_path / ".config/fish/completions").mkdir(parents=True)
        words = ["fish", "--interactive", "-C", f"{line}; function fish_prompt; echo 'ready> '; end"]
    elif shell == "zsh":
        (tmp_path / ".zshrc").write_text(f"PS1='ready> '\nautoload -Uz compinit && compinit -u -D\n{line}\n")
        words = ["zsh", "--interactive"]
    else:
        (tmp_path / ".bashrc").write_text(f"PS1='ready> '\n{line}\n")
        words = ["bash", "-i"]
    code, screen = at_terminal(
        words, tmp_path, environment, [("ready> ", "market-photos veri\t--rep\t--help"), ("ready> ", "exit 7")]
    )
    assert code == 7, screen
    assert "Usage: market-photos verify" in screen, screen
