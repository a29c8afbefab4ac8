"""What `charonia serve` shows while models load and when they serve."""

from __future__ import annotations

import io
import re
from contextlib import closing

import pytest
from charonia.cli.exit_codes import CommandError
from charonia.cli.load_progress import LoadProgress
from charonia.cli.screen import Screen
from charonia.cli.settings import ServeSettings
from charonia.load_teller import LoadEvent, Phase
from charonia.log_settings import LogSetting, LogSettings
from charonia.options import ServerOptions
from charonia.plugins import Plugins
from charonia.server import Server
from charonia.serving import Serving
from charonia.testing.builders import model_config, write_model
from charonia.testing.fakes import ArithmeticPlugin
from rich.console import Console


@pytest.fixture
def started(model_repository):
    """Start a server under a screen and have it tell what is served."""

    def start(**options):
        plugins = Plugins(entry_points=(), extra=[ArithmeticPlugin()])
        settings = ServeSettings(
            [str(model_repository)], ServerOptions(**options), plugins, {"toy-address": "127.0.0.1"}
        )
        screen = Screen(settings)
        screen.begin()
        with closing(Server(settings.repositories, options=settings.options, plugins=plugins)) as server:
            screen.load(server)
            screen.tell_served(Serving(server))
            screen.end(finished=server.close())

    return start


def test_plain_output_has_a_line_for_each_step(started, model_repository, capsys, monkeypatch):
    """Where stdout is no terminal, each step of each load is a line, and nothing is folded or coloured."""
    monkeypatch.delenv("COLUMNS", raising=False)  # pytest's workers set it, and a width that is asked for is kept to
    write_model(model_repository, model_config("m" * 150))
    started()
    out = capsys.readouterr().out
    for step in ("reading the configuration", "version 1: loading", "version 1: making instances", "ready"):
        assert re.search(rf"^  m{{150}}.*{step} \(\d+\.\d s\)$", out, re.MULTILINE), out
    assert "\x1b" not in out
    assert re.search(r"^m{150} +1 +READY +\d+\.\d *$", out, re.MULTILINE)


def test_the_last_line_is_for_scripts(started, model_repository, capsys):
    """When everything listens, one line that never changes says so."""
    write_model(model_repository, model_config("m"))
    started()
    assert capsys.readouterr().out.splitlines()[-2:] == ["Ready. Ctrl-C stops it.", "Stopped."]


def test_failures_come_first_with_cause_and_fix(started, model_repository, capsys):
    """A model that failed stands above those that serve, with its file and line, what is wrong and what to do."""
    write_model(model_repository, model_config("a_good"))
    write_model(model_repository, model_config("no_plugin", backend="onnxruntime"))
    write_model(model_repository, model_config("corrupt"), {"1/model.json": "["})
    (write_model(model_repository, model_config("misspelt")) / "config.pbtxt").write_text("\nmax_batchsize: 1")
    started(exit_on_error=False)
    out = capsys.readouterr().out
    failed, _, rest = out.partition("tells all that is wrong there.")
    assert re.findall(r"^FAILED  (\w+)", failed, re.MULTILINE) == ["corrupt", "misspelt", "no_plugin"]
    assert 'model "misspelt" (config.pbtxt:2): ' in failed
    assert 'did you mean "max_batch_size"?' in failed
    assert 'pip install "charonia-backend-onnx[cpu]"' in failed
    assert 'model.json" is no JSON' in failed
    assert "a_good" in rest
    assert "Serving 1 model, 3 failed:" in rest


def test_a_failure_ends_the_start_unless_told_otherwise(started, model_repository, capsys):
    """With exit-on-error the server does not serve, and the reader learns which flag would."""
    write_model(model_repository, model_config("bad"), {"1/model.json": "["})
    with pytest.raises(CommandError, match="--exit-on-error=false serves the others") as caught:
        started()
    assert caught.value.exit_code == 1
    out = capsys.readouterr().out
    assert "FAILED  bad" in out
    assert "charonia check" not in out  # which does not look into a model's own file


def test_a_repository_that_is_not_there(started, model_repository):
    """Nothing can be summed up; the error says what is wrong with the path."""
    model_repository.rmdir()
    with pytest.raises(CommandError, match="is not a readable directory: No such file or directory; give the path"):
        started()


@pytest.mark.parametrize(
    ("options", "advice"),
    [({}, "a model is a directory there"), ({"model_control_mode": "explicit"}, "--load-model=NAME")],
)
def test_no_model_at_all_is_said_with_advice(started, capsys, options, advice):
    """A server without models is allowed, and probably not what was meant."""
    started(**options)
    out = capsys.readouterr().out
    assert advice in out
    assert "Serving 0 models:" in out


@pytest.mark.parametrize("file", ["", "server.log"])
def test_a_log_that_is_elsewhere_tells_the_loads_too(file, caplog):
    """Whoever reads the file has not seen the screen; a log on the screen does not say the same again."""
    caplog.set_level("INFO", "charonia")
    settings = ServeSettings(
        ["models"], ServerOptions(), Plugins(entry_points=()), {}, LogSettings(LogSetting(file=file))
    )

    class Loading:
        def start(self, listener):
            listener(LoadEvent("m", 1, Phase.LOADING, 0.1))
            listener(LoadEvent("m", None, Phase.READY, 0.2))
            listener(LoadEvent("n", None, Phase.FAILED, 0.1, "Internal: no"))

    Screen(settings).load(Loading())
    told = ['model "m" is ready, after 0.2 s', 'model "n" failed to load: Internal: no']
    assert caplog.messages == (told if file else [])


def test_a_backends_own_error_is_marked_as_such(capsys):
    """An exception that nobody raised for people to read gets the advice to look at the traceback."""
    settings = ServeSettings(["models"], ServerOptions(exit_on_error=False), Plugins(entry_points=()), {})
    screen = Screen(settings)

    class Failing:
        def start(self, listener):
            listener(LoadEvent("m", None, Phase.FAILED, 0.1, "Internal: ValueError: no", [ValueError("no")]))

    screen.load(Failing())
    out = capsys.readouterr().out
    assert "    Internal: ValueError: no\n" in out
    assert "--log-verbose=1 shows where it was raised" in out


@pytest.mark.parametrize(
    ("urls", "said"),
    [
        (["http://127.0.0.1:8000"], "Only this machine can reach it; --toy-address=0.0.0.0 opens it to the network."),
        (["http://[::1]:8000", "http://localhost:1"], "Only this machine can reach it"),
        (["http://0.0.0.0:8000"], None),
        ([], "nowhere: every frontend is switched off"),
    ],
)
def test_who_can_reach_it_is_said(model_repository, capsys, urls, said):
    """A server on loopback says so, and how to open it; one that is open does not."""
    plugins = Plugins(entry_points=())
    settings = ServeSettings([str(model_repository)], ServerOptions(), plugins, {"toy-address": "127.0.0.1"})
    with Server(model_repository, plugins=plugins) as server:
        serving = Serving(server)
        serving.urls = urls
        Screen(settings).tell_served(serving)
    out = capsys.readouterr().out
    assert all(url in out for url in urls)
    assert (said in out) if said else ("Only this machine" not in out)


def drawn(progress, height):
    paper = io.StringIO()
    Console(width=100, file=paper).print(progress.table(height))
    return paper.getvalue()


def test_the_table_shows_phases_and_seconds():
    """On a terminal, each model has a row with what it is busy with and for how long."""
    progress = LoadProgress()
    progress.note(LoadEvent("a", None, Phase.READING, 0.0))
    progress.note(LoadEvent("a", 1, Phase.LOADING, 100.0))
    progress.note(LoadEvent("b", 2, Phase.LOADING, 0.0))
    progress.note(LoadEvent("b", 3, Phase.LOADING, 0.0))
    progress.note(LoadEvent("b", None, Phase.READY, 2.5))
    rows = [line.split() for line in drawn(progress, 10).splitlines()]
    assert rows[0] == ["Model", "Version", "Phase", "Seconds"]
    assert rows[2][:3] == ["a", "1", "loading"]
    assert rows[3] == ["b", "2,", "3", "ready", "2.5"]


def test_a_table_that_is_too_long_shows_who_is_busy():
    """More models than lines: those that are done become a number."""
    progress = LoadProgress()
    for index in range(30):
        progress.note(LoadEvent(f"m{index}", None, Phase.READING if index < 2 else Phase.READY, 0.0))
    told = drawn(progress, 10)
    assert "28 models done, 2 busy" in told
    assert "m0" in told
    assert "m9" not in told


def bringing(model, seconds, done):
    return LoadEvent(model, 1, Phase.BRINGING, seconds, brought=(done, 20_000_000))


def test_files_that_are_brought_are_told_every_ten_seconds(capsys, tmp_path):
    """Where stdout is no terminal, a long download is a line every ten seconds for each model, and a short one none."""

    class Bringing(Server):
        def start(self, listener=None):
            for event in (bringing("m", 1, 0), bringing("m", 11, 8_000_000), bringing("n", 12, 1_000_000)):
                listener(event)
            for event in (bringing("m", 12, 9_000_000), bringing("m", 21.5, 16_000_000), bringing("m", 22, 20_000_000)):
                listener(event)

    plugins = Plugins(entry_points=(), extra=[ArithmeticPlugin()])
    with closing(Bringing(tmp_path, plugins=plugins)) as server:
        Screen(ServeSettings([str(tmp_path)], ServerOptions(), plugins, {})).load(server)
    assert [line for line in capsys.readouterr().out.splitlines() if "bringing" in line] == [
        "  m version 1: bringing files, 8.0 of 20.0 MB (11.0 s)",
        "  n version 1: bringing files, 1.0 of 20.0 MB (12.0 s)",
        "  m version 1: bringing files, 16.0 of 20.0 MB (21.5 s)",
    ]


def test_files_that_are_brought_have_a_bar_in_the_live_table():
    """On a terminal, the table shows how much of a model's files is here."""
    progress = LoadProgress()
    progress.note(bringing("m", 1, 5_000_000))
    console = Console(file=io.StringIO(), width=120)
    console.print(progress.table(10))
    assert "█████░░░░░░░░░░░░░░░ 5.0 of 20.0 MB" in console.file.getvalue()
