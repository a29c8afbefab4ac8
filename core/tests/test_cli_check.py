"""`charonia check`: everything that is wrong with a repository, each with its place, and nothing loaded."""

from __future__ import annotations

import pytest
from charonia.testing.builders import model_config, write_model


@pytest.fixture
def models(tmp_path, site):
    """An empty repository, with a backend whose implementation must not be imported."""
    site.install(
        "acme",
        "backend-acme",
        'from charonia.hookspecs import hookimpl\n\n@hookimpl\ndef charonia_backends():\n    return {"acme": "acme_absent:X"}\n',
    )
    path = tmp_path / "models"
    path.mkdir()
    return path


def write(models, name, text="", *, versions=("1",), file="config.pbtxt"):
    directory = models / name
    directory.mkdir()
    for version in versions:
        (directory / version).mkdir()
    if text:
        (directory / file).write_text(text)
    return directory


def test_a_sound_repository_has_nothing_wrong(charonia, models):
    """No finding, a line that says how much was looked at, and the exit code 0."""
    write_model(models, model_config("good", backend="acme"))
    write(models, "lean", 'backend: "acme"')
    result = charonia("check", models)
    assert result.stdout == "2 models checked: nothing wrong\n"
    assert result.exit_code == 0


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (
            'backend: "acme"\nmax_batchsize: 4',
            2,
            'has no field named "max_batchsize". (did you mean "max_batch_size"?)',
        ),
        ('backend: "acme"\nmax_batch_size: -1', 2, "'max_batch_size' must be non-negative value for m"),
        ('name: "n"\nbackend: "acme"', 1, "unexpected directory name 'm' for model 'n'"),
        ('\nplatform: "onnx"', 2, "unexpected platform type 'onnx' for m"),
        ('\nbackend: "acm"', 2, 'needs the backend "acm", which no installed plugin provides. Did you mean "acme"?'),
        (
            'backend: "acme"\nparameters { key: "scheduler" value { string_value: "magic" } }',
            0,
            'needs the scheduler "magic", which no installed plugin provides',
        ),
        (
            'backend: "acme"\noutput [ { name: "Y" data_type: TYPE_FP32 dims: [ 1 ]\n  label_filename: "words.txt" } ]',
            3,
            'output "Y" has the label file "words.txt", which is not in',
        ),
        (
            'backend: "acme"\ndefault_model_filename: "weights.bin"',
            0,
            "version 1 has no weights.bin (there is: nothing): add it, or name another default_model_filename",
        ),
        (
            'backend: "acme"\nversion_policy: { specific: { versions: [ 7 ] } }',
            2,
            "at least one version must be available under the version policy of model 'm' (there are 1)",
        ),
        (
            'backend: "acme"\nmodel_warmup [ { name: "w" batch_size: 1 inputs { key: "X" value { input_data_file: "x.raw" } } } ]',
            0,
            "warm-up needs warmup/x.raw, which is not there",
        ),
        (
            'backend: "acme"\ninput [ { name: "X" data_type: TYPE_FP32 dims: [ 0 ] } ]\noutput [ { name: "Y" data_type: TYPE_FP32 dims: [ 1 ] } ]',
            2,
            "dimension",
        ),
    ],
)
def test_each_mistake_is_told_with_its_place(charonia, models, text, line, message):
    """Whatever keeps a model from being loaded is an error at its file and line, and the exit code is 1."""
    directory = write(models, "m", text)
    result = charonia("check", models)
    place = f"{directory}/config.pbtxt:{line}: error: " if line else str(directory)
    assert any(row.startswith(place) and message in row for row in result.stdout.splitlines()), result.stdout
    assert result.exit_code == 1


def test_everything_is_told_at_once(charonia, models, tmp_path):
    """Several mistakes in one file, in several models and in several repositories are all in one run."""
    write(models, "a", 'max_batchsize: 1\nbackendd: "acme"')
    write(models, "b", 'backend: "acme"\nmax_batch_size: -1', versions=())
    write(models, "c", 'max_batch_size: -1\nplatform: "onnx"')
    result = charonia("check", models, tmp_path / "nowhere")
    rows = result.stdout.splitlines()
    assert [row.rpartition("models/")[2].partition(": ")[0] for row in rows[1:-1]] == [
        *("a/config.pbtxt:1", "a/config.pbtxt:2", "b/config.pbtxt:2", "c/config.pbtxt:1", "c/config.pbtxt:2"),
    ]
    assert f"{tmp_path}/nowhere: error: model repository" in rows[0]
    assert rows[-1] == "3 models checked: 6 errors"


def test_a_model_without_versions_or_clues(charonia, models):
    """A directory that is no model yet is told what it lacks."""
    write(models, "empty", versions=())
    write(models, "bare", 'backend: "acme"', versions=())
    rows = charonia("check", models).stdout.splitlines()
    assert f"{models}/bare: error: no version: put the model into {models}/bare/1" in rows[0]
    assert "Could not determine backend for model 'empty'" in rows[1]


def test_a_name_in_two_repositories(charonia, models, tmp_path):
    """Each model has one home, unless repositories are namespaces: then both are checked, each at its place."""
    other = tmp_path / "other"
    other.mkdir()
    write(models, "twin", 'backend: "acme"')
    write(other, "twin", 'backend: "acme"')
    result = charonia("check", models, other)
    assert 'error: model "twin" appears in two or more repositories' in result.stdout
    assert "1 model checked: 1 error" in result.stdout
    assert charonia("check", models, other, "--model-namespacing=true").stdout == "2 models checked: nothing wrong\n"
    (other / "twin" / "config.pbtxt").write_text('backend: "acme"\nmax_batch_size: -1')
    rows = charonia("check", models, other, "--model-namespacing=true").stdout.splitlines()
    assert rows[0].startswith(f"{other}/twin/config.pbtxt:2: error: 'max_batch_size'")
    assert rows[1:] == ["2 models checked: 1 error"]


def test_another_configuration_is_checked_for_a_server_that_reads_it(charonia, models):
    """What is wrong with the configuration of a name is told where the server would be told that name."""
    directory = write(models, "m", 'backend: "acme"')
    (directory / "configs").mkdir()
    (directory / "configs" / "large.pbtxt").write_text('backend: "acme"\nmax_batch_size: -1')
    assert charonia("check", models).exit_code == 0
    result = charonia("check", models, "--model-config-name=large")
    assert result.stdout.startswith(f"{directory}/configs/large.pbtxt:2: error: 'max_batch_size'")
    assert charonia("check", models, "--model-config-name=../large").exit_code == 2


def test_warnings_alone_are_no_failure(charonia, models):
    """What is passed over or has no effect is told, and leaves the exit code 0."""
    directory = write(models, "m", 'backend: "acme"\nresponse_cache { enable: true }', versions=("1", "02", "data"))
    result = charonia("check", models, "--disable-plugin=cache-local")
    assert (
        f"{directory}/config.pbtxt:2: warning: response_cache has no effect, since no response cache is installed"
        in result.stdout
    )
    assert 'warning: model "m": ignoring version directory "02": leading zeros' in result.stdout
    assert result.stdout.endswith("1 model checked: 3 warnings\n")
    assert result.exit_code == 0


def test_an_empty_repository_is_worth_a_warning(charonia, models):
    """A repository without models is probably the wrong directory."""
    result = charonia("check", models)
    assert f"{models}: warning: there is no model here" in result.stdout
    assert result.exit_code == 0


def test_a_model_in_place_of_its_repository(charonia, models):
    """Whoever names the directory of a model itself is told which one is meant."""
    write(models, "m", 'backend: "acme"', versions=("1", "2"))
    rows = charonia("check", models / "m").stdout.splitlines()
    assert f"{models}/m: warning: this looks like one model with its versions: give the directory above it" in rows
    assert "warning" not in charonia("check", models).stdout


@pytest.mark.parametrize("path", ["config.json", "config.pbtx", "1/config.pbtxt"])
def test_what_looks_like_a_configuration_and_is_none(charonia, models, path):
    """A file with another name, or in another place, is told as one that nobody reads; unless there is a right one."""
    directory = write(models, "m.acme")
    (directory / path).write_text('backend: "acme"')
    told = f"{directory}/{path}: warning: this is not read: a configuration is a file beside the versions, called config.pbtxt or"
    assert told in charonia("check", models).stdout
    (directory / "config.pbtxt").write_text('backend: "acme"')
    assert charonia("check", models).stdout == "1 model checked: nothing wrong\n"


def test_what_looks_like_a_configuration_is_told_where_one_is_needed(charonia, models):
    """A model of which nobody knows the backend has the error, and the warning of the file that was meant to name it."""
    directory = write(models, "m")
    (directory / "config.json").write_text('{"backend": "acme"}')
    told = charonia("check", models).stdout
    assert f"{directory}: error: Invalid model name: Could not determine backend" in told
    assert f"{directory}/config.json: warning: this is not read" in told


def test_strict_configurations_must_be_whole(charonia, models):
    """For a server that completes nothing, what a backend would fill in is an error."""
    write(models, "m", 'backend: "acme"\noutput [ { name: "Y" } ]')
    write(models, "n")
    lenient = charonia("check", models).stdout
    assert "must specify" not in lenient
    rows = charonia("check", models, "--disable-auto-complete-config").stdout.splitlines()
    assert rows[0].startswith(f"{models}/m/config.pbtxt:2: error: model output 'Y' must specify 'data_type' for m")
    assert 'model "n" has no configuration file' in rows[2]


def test_all_that_is_not_installed_is_named_at_once(charonia, models, monkeypatch):
    """The last line is one command that brings whatever any model lacks; what is broken or misspelt is not among it."""
    write(models, "a", 'platform: "ensemble"\nensemble_scheduling { step [ { model_name: "b" model_version: -1 } ] }')
    write(models, "b", 'backend: "onnxruntime"')
    write(models, "c", 'backend: "acm"')
    write(models, "d", 'backend: "python"\ndynamic_batching { }')
    monkeypatch.setattr("importlib.metadata.entry_points", lambda **_: ())
    last = charonia("check", models).stdout.splitlines()[-1]
    assert last == (
        'What is not installed comes with: pip install charonia-backend-custom "charonia-backend-onnx[cpu]" '
        "charonia-scheduler-dynamic charonia-scheduler-ensemble"
    )


def test_yaml_has_places_too(charonia, models):
    """The other form of a configuration is checked alike."""
    directory = write(models, "m", "backend: acme\nmax_batch_size: -1\n", file="config.yaml")
    assert f"{directory}/config.yaml:2: error: 'max_batch_size'" in charonia("check", models).stdout


def test_a_storage_that_nobody_provides(charonia):
    """A repository at a place that no plugin can read is told as such."""
    result = charonia("check", "ftp://bucket/models")
    assert (
        'ftp://bucket/models: error: the model repository "ftp://bucket/models" needs the repository storage "ftp"'
        in result.stdout
    )
    assert result.exit_code == 1


def chain(name, *steps, rest=""):
    """Write an ensemble of models with an input X and an output Y, one after the other; a step to each line."""
    tensors = ["I", *(f"t{number}" for number in range(1, len(steps))), "O"]
    written = [
        f'step {{ model_name: "{model}" model_version: -1 input_map {{ key: "X" value: "{read}" }} '
        f'output_map {{ key: "Y" value: "{made}" }} }}'
        for model, read, made in zip(steps, tensors, tensors[1:], strict=False)
    ]
    return "\n".join(
        [
            f'name: "{name}" platform: "ensemble"',
            'input { name: "I" data_type: TYPE_FP32 dims: 2 }',
            'output { name: "O" data_type: TYPE_FP32 dims: 2 }',
            "ensemble_scheduling {",
            *written,
            rest,
            "}",
        ]
    )


def plain(models, name, read="FP32", made="FP32", **settings):
    """Write a model with an input X and an output Y of two elements."""
    write_model(
        models,
        model_config(
            name, backend="acme", max_batch_size=0, inputs=[("X", read, [2])], outputs=[("Y", made, [2])], **settings
        ),
    )


def told(charonia, models, *options):
    """Check, and give what is told: place and text, the place without the repository."""
    rows = charonia("check", models, "--disable-plugin=scheduler-ensemble", *options).stdout.splitlines()[:-1]
    found = [row.removeprefix(f"{models}/").partition(": error: ")[::2] for row in rows]
    return [(place, text) for place, text in found if "needs the scheduler" not in text]


def test_ensembles_are_looked_at_beside_their_models(charonia, models):
    """The graph and everything that does not fit the models as they are written is told at once, as the server would."""
    plain(models, "fine")
    plain(models, "odd", read="INT32")
    write(models, "broken", 'backend: "acme"\nmax_batch_size: -1')
    write(models, "empty", 'backend: "acme"', versions=())
    write(models, "unknown", 'backend: "acme"')
    circle = 'step { model_name: "fine" model_version: 7 input_map { key: "X" value: "c" } output_map { key: "Y" value: "c" } }'
    write(models, "e", chain("e", "fine", "odd", "unknown", "ghost", "broken", "empty", "fine", rest=circle))
    found = [(place, text) for place, text in told(charonia, models) if place.startswith("e/")]
    types = "TYPE_FP32 is inferred from model fine while TYPE_INT32 is inferred from model odd"
    unavailable = "ensemble e contains models that are not available or ambiguous:"
    empty = "Model 'empty' loading failed with error: at least one version must be available under its version policy"
    ghost = f'ghost (model "ghost" is not found in any model repository ("{models}")) (see step 3 (model \'ghost\'))'
    assert found == [
        (
            "e/config.pbtxt:6",
            f"in ensemble e, ensemble tensor t1: inconsistent data type: {types} (see step 1 (model 'odd'))",
        ),
        ("e/config.pbtxt:8", f"{unavailable} {ghost}"),
        (
            "e/config.pbtxt:9",
            f"{unavailable} broken (see what is wrong with its configuration) (see step 4 (model 'broken'))",
        ),
        (
            "e/config.pbtxt:10",
            f"ensemble 'e' depends on 'empty' which has no loaded version. {empty} (see step 5 (model 'empty'))",
        ),
        (
            "e/config.pbtxt:12",
            "ensemble tensor 'c' is never written in ensemble 'e' (these wait for each other: step 7 (model 'fine'))",
        ),
        (
            "e/config.pbtxt:12",
            "ensemble 'e' depends on 'fine' whose required version 7 is not loaded. (see step 7 (model 'fine'))",
        ),
    ]


def test_ensembles_in_ensembles(charonia, models):
    """What follows from the models of an ensemble is known to those around it, and circles of ensembles are told."""
    plain(models, "dec", decoupled=True)
    plain(models, "fine")
    write(models, "inner", chain("inner", "dec").replace('"I"', '"X"').replace('"O"', '"Y"'))
    mixed = (
        'step { model_name: "pair" model_version: -1 input_map { key: "A" value: "I" } input_map { key: "B" value: "O" } '
        'output_map { key: "Y" value: "P" } }'
    )
    pair = model_config("pair", backend="acme", max_batch_size=0, inputs=[("A", "FP32", [2]), ("B", "FP32", [2])])
    pair.output[0].name = "Y"
    write_model(models, pair)
    write(models, "outer", chain("outer", "inner", rest=mixed) + '\noutput { name: "P" data_type: TYPE_FP32 dims: -1 }')
    write(models, "a", chain("a", "b"))
    write(models, "b", chain("b", "a"))
    found = dict(told(charonia, models))
    assert "'I' from the request; 'O' from step 0 (model 'inner')" in found["outer/config.pbtxt:6"]
    assert found["b/config.pbtxt:5"].startswith("circular dependency between ensembles: b -> ... -> a -> b")
    assert "depends on 'b' which is not valid. Model 'b' failed with error: circular" in found["a/config.pbtxt:5"]


def test_ensembles_of_several_repositories(charonia, models, tmp_path):
    """With namespaces, a step means the model of its own repository, else the only one."""
    other = tmp_path / "other"
    other.mkdir()
    plain(models, "both")
    plain(other, "both", read="INT32")
    plain(other, "far", made="INT32")
    write(models, "e", chain("e", "both", "far"))
    third = tmp_path / "third"
    third.mkdir()
    write(third, "unclear", chain("unclear", "both"))
    found = dict(told(charonia, models, other, third, "--model-namespacing=true"))
    assert (
        "tensor O: inconsistent data type: TYPE_FP32 is inferred from model e while TYPE_INT32"
        in found["e/config.pbtxt:6"]
    )
    assert f"both (it is in {models} and in {other})" in found[f"{third}/unclear/config.pbtxt:5"]


def test_a_configuration_that_is_not_whole_says_nothing(charonia, models):
    """What a backend may still find out is not judged, unless the server completes nothing."""
    write(models, "m", 'backend: "acme"\ninput { name: "NOPE" data_type: TYPE_FP32 dims: 2 }')
    write(models, "e", chain("e", "m"))
    assert told(charonia, models) == []
    strict = told(charonia, models, "--disable-auto-complete-config")
    assert any("mapping to non-existing input X in model m" in text for _, text in strict)
