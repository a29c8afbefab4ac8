"""The options of `charonia serve`: where they come from, which one wins, and what is said about wrong ones."""

from __future__ import annotations

import logging
import re

import click
import pytest
from charonia.cli.group import group
from charonia.cli.serve import serve
from charonia.options import ServerOptions
from charonia.rate_limiter import ResourceLimit


@pytest.fixture
def told(monkeypatch, toy):
    """Parse a command line and give what the server would be told."""

    def parse(*words, env=None):
        for name, value in (env or {}).items():
            monkeypatch.setenv(name, value)
        with (
            click.Context(group, info_name="charonia", auto_envvar_prefix="CHARONIA") as parent,
            serve.make_context("serve", list(words), parent=parent) as context,
        ):
            return context.obj

    return parse


def test_defaults_are_the_servers(told):
    """Without options the server has those of its own class, and frontends have theirs."""
    settings = told("--model-repository=models")
    assert settings.repositories == ("models",)
    expected = ServerOptions(load_model=(), disabled_plugins=())
    assert settings.options == expected
    assert settings.frontends["toy-port"] == 7000
    assert settings.frontends["allow-toy"] is True
    assert settings.frontends["toy-friend"] == ""


@pytest.mark.parametrize(
    ("words", "env", "file", "expected"),
    [
        (["--toy-friend=ann, bob", "--toy-friend", "eve"], {}, "", "ann, bob\neve"),
        ([], {"CHARONIA_SERVE_TOY_FRIEND": "ann eve"}, "", "ann\neve"),
        ([], {}, "toy-friend: [ann, eve]", "ann\neve"),
        ([], {}, "toy-friend: ann", "ann"),
    ],
)
def test_a_frontend_gets_all_of_what_comes_several_times(told, tmp_path, words, env, file, expected):
    """An option that may come several times reaches its frontend with a line for each, wherever it was set."""
    path = tmp_path / "server.yaml"
    path.write_text(file)
    settings = told("--model-repository=models", f"--config={path}", *words, env=env)
    assert settings.frontends["toy-friend"] == expected


@pytest.mark.parametrize(
    ("words", "env", "file", "expected"),
    [
        ([], {}, "", "charonia"),
        ([], {}, "id: file", "file"),
        ([], {"CHARONIA_SERVE_ID": "environment"}, "id: file", "environment"),
        (["--id=line"], {"CHARONIA_SERVE_ID": "environment"}, "id: file", "line"),
    ],
)
def test_command_line_wins_over_environment_over_file(told, tmp_path, words, env, file, expected):
    """Of the places that set an option, the nearest to the user wins."""
    path = tmp_path / "server.yaml"
    path.write_text(file)
    settings = told("--model-repository=models", f"--config={path}", *words, env=env)
    assert settings.options.server_id == expected


@pytest.mark.parametrize(
    ("words", "env", "file", "expected"),
    [
        ([], {}, "toy-port: 1", 1),
        ([], {"CHARONIA_SERVE_TOY_PORT": "2"}, "toy-port: 1", 2),
        (["--toy-port", "3"], {"CHARONIA_SERVE_TOY_PORT": "2"}, "toy-port: 1", 3),
    ],
)
def test_options_of_frontends_come_from_the_same_places(told, tmp_path, words, env, file, expected):
    """What an installed frontend can be told is an option like the server's own."""
    path = tmp_path / "server.yaml"
    path.write_text(file)
    settings = told("--model-store", "models", *words, env={**env, "CHARONIA_SERVE_CONFIG": str(path)})
    assert settings.frontends["toy-port"] == expected


@pytest.mark.parametrize("spelling", ["true", "1", "false", "0"])
def test_booleans_are_written_as_in_the_reference(told, spelling):
    """Both `--flag=value` and `--flag value` work, with the reference's four words."""
    together = told("--model-repository", "m", f"--exit-on-error={spelling}", f"--allow-toy={spelling}")
    apart = told("--model-repository", "m", "--exit-on-error", spelling, "--allow-toy", spelling)
    wanted = spelling in {"true", "1"}
    assert together.options.exit_on_error is apart.options.exit_on_error is wanted
    assert together.frontends["allow-toy"] is apart.frontends["allow-toy"] is wanted


def test_repeated_options_accumulate(told):
    """Repositories, models and settings of backends may come several times, also in one variable of the environment."""
    settings = told(
        *("--model-repository=a", "--model-store", "b", "--model-control-mode=explicit"),
        *("--backend-config=onnxruntime,threads=2", "--backend-config=default-max-batch-size=8"),
        *("--backend-config=onnxruntime,threads=3", "--backend-config", "onnxruntime,list=a=b,c"),
        env={"CHARONIA_SERVE_LOAD_MODEL": "x y"},
    )
    assert settings.repositories == ("a", "b")
    assert settings.options.load_model == ("x", "y")
    assert settings.options.backend_config == {
        "onnxruntime": {"threads": "3", "list": "a=b,c"},
        "": {"default-max-batch-size": "8"},
    }


@pytest.mark.parametrize("word", ["--disable-auto-complete-config", "--strict-model-config=true"])
def test_both_ways_to_strict_configurations(told, word):
    """The deprecated flag means the same as the newer one."""
    assert told("--model-repository=m", word).options.disable_auto_complete_config is True


def test_clients_share_memory_only_if_it_is_asked_for(told):
    """The shared memory of clients is off by default, and on by the reference's flag."""
    assert told("--model-repository=m").options.allow_client_shm is False
    assert told("--model-repository=m", "--allow-client-shm=true").options.allow_client_shm is True


def test_the_response_cache_is_told_in_either_way(told):
    """Settings of one cache add up, a cache may have none, and the deprecated flag means the local one."""
    words = ("--cache-config=redis,host=here", "--cache-config=redis,port=1")
    assert told("--model-repository=m", *words).options.cache_config == {"redis": {"host": "here", "port": "1"}}
    assert told("--model-repository=m", "--cache-config=acme").options.cache_config == {"acme": {}}
    by_size = told("--model-repository=m", "--response-cache-byte-size=1000")
    assert by_size.options.cache_config == {"local": {"size": "1000"}}


def test_the_rate_limiter_is_off_unless_it_is_asked_for(told):
    """Resources are limited on each device, or on one, and only in the mode that looks at them."""
    assert told("--model-repository=m").options.rate_limit == "off"
    words = ("--rate-limit=execution_count", "--rate-limit-resource=R:4", "--rate-limit-resource=R:2:1")
    options = told("--model-repository=m", *words).options
    assert options.rate_limit == "execution_count"
    assert list(options.rate_limit_resource) == [ResourceLimit("R", 4), ResourceLimit("R", 2, 1)]


def test_batch_sizes_to_warm_up_with_are_parted_by_commas(told):
    """Any number of sizes is told by one option; by default there is none."""
    assert told("--model-repository=m").options.warmup_batch_sizes == ()
    assert told("--model-repository=m", "--warmup-batch-sizes=1, 4,8").options.warmup_batch_sizes == (1, 4, 8)


def test_a_disabled_frontend_has_no_options(told):
    """A plugin that is switched off, wherever that is said, is not asked for its options."""
    for words, env in ((["--disable-plugin=acme-toy"], {}), ([], {"CHARONIA_SERVE_DISABLE_PLUGIN": "frontend-toy"})):
        settings = told("--model-repository=m", *words, env=env)
        assert "toy-port" not in settings.frontends
        with pytest.raises(click.NoSuchOption):
            told("--model-repository=m", "--toy-port=1", *words, env=env)


def test_the_file_chooses_among_plugins(told, tmp_path):
    """The section `plugins` of the file becomes the server's choice."""
    path = tmp_path / "server.yaml"
    path.write_text("model-repository: [m]\nplugins:\n  backend:\n    onnxruntime: acme-onnx\n")
    settings = told("--config", str(path))
    assert settings.options.plugin_choices == {"backend.onnxruntime": "acme-onnx"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "Missing option '--model-repository'"),
        (["--model-repository=m", "--exit-timeout-sec=3"], "'--exit-timeout-secs'"),
        (["--model-repository=m", "--toy-prt=3"], "'--toy-port'"),
        (["--model-repository=m", "--toy-port=x"], "'--toy-port': 'x' is not a valid integer"),
        (["--model-repository=m", "--exit-on-error=maybe"], "'maybe' is not a valid boolean"),
        (["--model-repository=m", "--exit-timeout-secs=-1"], "-1.0 is not in the range"),
        (["--model-repository=m", "--model-control-mode=all"], "'all' is not one of 'none', 'poll', 'explicit'"),
        (["--model-repository=m", "--cache-config=size=5"], "No cache specified. --cache-config option format is"),
        (["--model-repository=m", "--cache-config=a,size"], "<cache name>,<setting>=<value>. Got a,size"),
        (["--model-repository=m", "--cache-config=a,b=1", "--cache-config=c,b=1"], "one response cache at most"),
        (
            ["--model-repository=m", "--cache-config=local,size=1", "--response-cache-byte-size=1"],
            "Please provide one or the other.",
        ),
        (["--model-repository=m", "--warmup-batch-sizes=1,0"], "'1,0' is no list of batch sizes, such as 1,4,8."),
        (["--model-repository=m", "--rate-limit=maybe"], "'maybe' is not one of 'off', 'execution_count'"),
        (["--model-repository=m", "--rate-limit-resource=R"], "or '<resource_name>:<count>'. Got R"),
        (["--model-repository=m", "--rate-limit-resource=R:1:2:3"], "or '<resource_name>:<count>'. Got R:1:2:3"),
        (["--model-repository=m", "--rate-limit-resource=R:some"], "or '<resource_name>:<count>'. Got R:some"),
        (["--model-repository=m", "--backend-config=fast"], "'fast' is not of the form BACKEND,NAME=VALUE"),
        (
            ["--model-repository=m", "--load-model=a"],
            "Use of '--load-model' requires setting '--model-control-mode=explicit' as well.",
        ),
        (
            ["--model-repository=m", "--model-control-mode=explicit", "--load-model=*", "--load-model=a"],
            "Wildcard model name '*' must be the ONLY startup model if specified at all.",
        ),
        (["--model-repository=m", "--config=nowhere.yaml"], "nowhere.yaml cannot be read: No such file"),
        (["--model-repository=m", "extra"], "unexpected extra argument (extra)"),
    ],
)
def test_mistakes_are_told_and_end_with_the_code_for_usage(charonia, toy, words, message):
    """Each mistake has its own sentence, and the exit code 2."""
    result = charonia("serve", *words)
    assert message in result.stderr
    assert result.exit_code == 2


def test_help_shows_everything_by_section(charonia, toy):
    """The help has the options of the server and of each frontend, an example and the exit codes, and nothing foreign."""
    told = charonia("serve", "--help").stdout
    for wanted in ("Models:", "Frontend toy:", "--toy-port", "charonia serve --model-repository models", "Exit codes:"):
        assert wanted in told
    assert "--sagemaker-port" not in told


def test_no_frontend_at_all_is_said_at_once(charonia, tmp_path):
    """A server that nobody could reach is not started, and the reader learns what to install or switch on."""
    names = [record["plugin"] for record in _frontends(charonia)]
    result = charonia("serve", f"--model-repository={tmp_path}", *(f"--disable-plugin={name}" for name in names))
    assert result.exit_code == 1
    assert "no frontend is installed that could be reached" in result.stderr


def _frontends(charonia):
    import json

    return [row for row in json.loads(charonia("plugins", "--json").stdout) if row["kind"] == "frontend"]


def test_log_switches_work_one_by_one(told, capsys):
    """Each level has its own switch, and the log goes to stderr while the command runs, and not longer."""
    log = logging.getLogger("charonia.test")
    with (
        click.Context(group, info_name="charonia", auto_envvar_prefix="CHARONIA") as parent,
        serve.make_context("serve", ["--model-repository=m", "--log-info=false", "--log-verbose=1"], parent=parent),
    ):
        for level, text in ((10, "details"), (20, "news"), (30, "doubt"), (40, "trouble"), (50, "disaster")):
            log.log(level, text)
    log.error("afterwards")
    written = capsys.readouterr().err
    assert [word in written for word in ("details", "news", "doubt", "trouble", "disaster", "afterwards")] == [
        *(True, False, True, True, True, False),
    ]


def test_log_is_changed_while_it_is_written(told, capsys):
    """The command's settings of the log are those that the server gives to clients, and each change holds at once."""
    log = logging.getLogger("charonia.test")
    before = logging.getLogger().level
    with (
        click.Context(group, info_name="charonia", auto_envvar_prefix="CHARONIA") as parent,
        serve.make_context("serve", ["--model-repository=m", "--log-format=ISO8601"], parent=parent) as context,
    ):
        log.info("dated")
        context.obj.log.update({"log_info": False, "log_verbose_level": 1, "log_format": "default"})
        log.info("news")
        log.debug("details")
    dated, details = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"I \d{4}-\d\d-\d\dT[\d:.]{12}Z charonia\.test: dated", dated)
    assert re.fullmatch(r"D [\d:.]{12} charonia\.test: details", details)
    assert logging.getLogger().level == before


def test_log_goes_to_a_file(told, capsys, tmp_path):
    """With --log-file the log is appended there and nowhere else, also after the file was moved away; clients see its name."""
    log = logging.getLogger("charonia.test")
    path, moved = tmp_path / "server.log", tmp_path / "server.log.1"
    path.write_text("yesterday\n")
    with (
        click.Context(serve) as parent,
        serve.make_context("serve", ["--model-repository=m", f"--log-file={path}"], parent=parent) as context,
    ):
        log.info("first")
        path.rename(moved)
        log.info("second")
        assert context.obj.log.get().describe()["log_file"] == str(path)
        assert context.obj.log.update({"log_info": False}).describe()["log_file"] == str(path)
    log.error("afterwards")
    assert [line.rpartition(" ")[2] for line in moved.read_text().splitlines()] == ["yesterday", "first"]
    assert [line.rpartition(" ")[2] for line in path.read_text().splitlines()] == ["second"]
    assert capsys.readouterr().err == ""


def test_a_log_file_that_cannot_be_opened(charonia, toy, tmp_path):
    """The command says so, and does not start."""
    result = charonia("serve", "--model-repository=m", f"--log-file={tmp_path}/none/server.log")
    assert f"the log cannot be written to {tmp_path}/none/server.log: No such file or directory" in result.stderr
    assert result.exit_code != 0
