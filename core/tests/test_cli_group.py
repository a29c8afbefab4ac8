"""The commands as a group: help, misspelt names, what they import, and `version`."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import version

import pytest
from charonia.cli.exit_codes import ExitCode
from charonia.plugin_discovery import Discovery

COMMANDS = ["serve", "check", "models", "infer", "top", "explain", "run", "new", "plugins", "version"]


def test_help_lists_every_command_and_exit_code(charonia):
    """A newcomer sees all commands with an example, and a script's author the exit codes."""
    told = charonia("--help")
    assert told.exit_code == 0
    for command in COMMANDS:
        assert f"  {command} " in told.stdout
    for code in ExitCode:
        assert f"  {code.value}  " in told.stdout


def test_it_is_a_module_of_the_interpreter():
    """`python -m charonia` is the same command."""
    told = subprocess.run([sys.executable, "-m", "charonia", "version"], capture_output=True, text=True, check=True)
    assert version("charonia") in told.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_an_example(charonia, command):
    """The help of each command shows how it is used."""
    told = charonia(command, "--help")
    assert told.exit_code == 0
    assert "Example" in told.stdout
    assert f"  charonia {command}" in told.stdout


def test_a_misspelt_command_names_the_nearest_one(charonia):
    """The mistake is told with the likely command, or with all of them."""
    told = charonia("serv")
    assert told.exit_code == ExitCode.USAGE
    assert "No such command 'serv'. Did you mean 'serve'?" in told.stderr
    assert "There are serve, check" in charonia("xyzzy").stderr


def test_version_tells_charonia_and_python(charonia):
    """The line has what a report of a mistake needs."""
    told = charonia("version").stdout
    assert told.startswith(f"charonia {version('charonia')} (CPython {sys.version_info[0]}.{sys.version_info[1]}.")


def test_version_imports_nothing_heavy():
    """The quick commands are quick: they do not import what others need."""
    program = (
        "import sys\nfrom charonia.cli.group import group\ngroup(['version'], standalone_mode=False)\n"
        "print(*(name for name in ('numpy', 'pluggy', 'rich', 'yaml', 'google.protobuf') if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines()[1:] == [""]


COMMAND = """
from charonia.hookspecs import hookimpl

@hookimpl
def charonia_commands():
    return {"greet": "acme_greet:greet"}
"""


@pytest.fixture
def greeting(site, tmp_path, monkeypatch):
    """Install a plugin with a command, whose module has this text."""

    def write(text):
        site.install("acme", "command-greet", COMMAND)
        (tmp_path / "acme_greet.py").write_text(text)
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "acme_greet", raising=False)

    return write


def test_a_plugins_command_is_listed_and_run(charonia, greeting):
    """The help has a section for it, and it runs like any other."""
    greeting("import click\n@click.command(help='Say hello.')\ndef greet():\n    click.echo('hello')\n")
    assert re.search(r"Commands of plugins:\n(.*\n)*  greet +Say hello\.", charonia("--help").stdout)
    assert charonia("greet").stdout == "hello\n"
    assert "Did you mean 'greet'?" in charonia("gret").stderr


@pytest.mark.parametrize("text", ["import acme_missing", "greet = print"], ids=["import", "no command"])
def test_a_plugins_broken_command_harms_no_other(charonia, greeting, text):
    """The help says that it cannot be used, using it says why, and other commands go on."""
    greeting(text)
    assert "Cannot be used" in charonia("--help").stdout
    assert 'charonia needs the command "greet"' in charonia("greet").stderr
    assert charonia("version").exit_code == 0


def test_a_command_that_a_plugin_would_bring_says_which(charonia, monkeypatch):
    """A command of a plugin that is not installed is answered with what to install."""
    monkeypatch.setattr("charonia.plugins.discover", lambda *_: Discovery())
    told = charonia("build-plan")
    assert told.exit_code == ExitCode.USAGE
    assert 'A plugin brings it: pip install "charonia-backend-tensorrt[tensorrt]"' in told.stderr
