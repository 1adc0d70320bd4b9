"""Every command in README, docs and the help of the commands is one that the command line accepts."""

import re
import shlex
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from src.cli import CONF, hydra_command, parser_command

ROOT = CONF.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```bash\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"python -m (src\.[\w.]+)(.*)")


def documented() -> Iterator[tuple[str, str]]:
    """Yield module and arguments of each command in a block of a page, and in the help of a command."""
    blocks = [block for page in PAGES for block in BLOCK.findall(page.read_text("utf-8"))]
    helps = [path.read_text("utf-8") for path in sorted(CONF.glob("*.yaml"))]
    lines = [line for text in [*blocks, *helps] for line in text.replace("\\\n", " ").splitlines()]
    for line in lines:
        if found := COMMAND.search(line.partition(" # ")[0]):
            yield found[1], found[2].replace("…", "").strip()


COMMANDS = sorted(set(documented()))


@pytest.fixture
def accepted(new_process: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], list[Any]]:
    """Return a function that composes the settings of a command, or parses its options, once for each of its jobs."""
    best = tmp_path / "experiments" / "review_sts" / "sweep" / "best.yaml"
    best.parent.mkdir(parents=True)
    best.write_text("trainer: {learning_rate: 1e-4}")
    monkeypatch.chdir(tmp_path)

    def composed(module: str, arguments: str) -> list[Any]:
        found: list[Any] = []
        command, name = import_module(module), module.removeprefix("src.")
        monkeypatch.setattr(sys, "argv", [f"{module}.py", *shlex.split(arguments)])
        if hasattr(command, "parser"):
            parser_command(lambda **options: found.append(options), command.parser())()
        else:
            hydra_command(found.append, name if (CONF / f"{name}.yaml").is_file() else "config")()
        return found

    return composed


@pytest.mark.parametrize(("module", "arguments"), COMMANDS, ids=lambda value: value[:60] or "-")
def test_a_documented_command_is_accepted(
    module: str, arguments: str, accepted: Callable[[str, str], list[Any]]
) -> None:
    assert len(accepted(module, arguments)) == (2 if "-m " in arguments else 1)


def test_the_commands_of_all_pages_are_found() -> None:
    found = {module for module, _ in COMMANDS}
    assert {"src.train", "src.sweep", "src.evaluate", "src.merge", "src.export", "src.compare", "src.push"} <= found
