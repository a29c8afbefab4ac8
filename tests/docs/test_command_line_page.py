"""The page about the command line has every option that there is, with its default, and no other."""

from __future__ import annotations

import re

import click
import pytest
from charonia.cli.exit_codes import EXIT_CODES_EPILOG, ExitCode
from charonia.cli.group import group
from pages import HOUSE

PAGE = (HOUSE / "docs/how-to/command-line.md").read_text()
SECTIONS = {
    "check": "Check a repository",
    "serve": "Serve",
    "models": "Look at a running server",
    "infer": "Ask a model",
    "run": "Run a model once",
    "plugins": "See what is installed",
}


def section(heading: str) -> str:
    """The text below a heading of the second level."""
    return re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)[1]


def documented(heading: str) -> dict[str, str]:
    """Option → the cell after it, which is its default where the table has such a column."""
    rows = re.findall(r"^\| (`--[^|]*) \|([^|]*)\|", section(heading), re.MULTILINE)
    return {name: rest.strip(" `") for names, rest in rows for name in re.findall(r"--[a-z0-9-]+", names)}


def options(command: str) -> list[click.Option]:
    """The options that a command shows in its help, those of the first-party frontends included."""
    with click.Context(group, info_name="charonia") as parent:
        found = group.get_command(parent, command)
        with click.Context(found, info_name=command, parent=parent) as context:
            return [
                param for param in found.get_params(context) if isinstance(param, click.Option) and not param.hidden
            ]


@pytest.mark.parametrize("command", SECTIONS)
def test_page_and_help_have_the_same_options(command):
    """Whatever the help shows has a row in the command's section, and each row is a real option."""
    real = {name for option in options(command) for name in option.opts if name not in {"-h", "--help"}}
    assert set(documented(SECTIONS[command])) == real


def test_defaults_of_serve_are_the_real_ones():
    """The column of defaults says what holds if nothing is said."""
    told = documented("Serve")
    for option in options("serve"):
        name = option.opts[0]
        if isinstance(option.default, str | int | float) and not option.is_flag:
            assert told[name] == str(option.default).lower(), name


def test_exit_codes_are_the_real_ones():
    """Each code has a row, with the meaning that the help tells."""
    rows = re.findall(r"^\| (\d) \| (.*) \|$", section("Exit codes"), re.MULTILINE)
    assert [code for code, _ in rows] == [str(code.value) for code in ExitCode]
    told = re.findall(r"^  (\d)  (.*)$", EXIT_CODES_EPILOG, re.MULTILINE)
    assert [(code, meaning.replace("`", "")) for code, meaning in rows] == told


def test_every_command_is_named():
    """The first table has all commands."""
    with click.Context(group) as context:
        assert re.findall(r"^\| `charonia ([\w-]+)` \|", PAGE, re.MULTILINE) == [
            *("serve", "check", "models", "infer", "top", "explain", "run", "new", "plugins", "version", "build-plan")
        ]
        assert set(re.findall(r"^\| `charonia ([\w-]+)` \|", PAGE, re.MULTILINE)) == set(group.list_commands(context))
