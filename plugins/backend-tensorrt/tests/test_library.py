"""The two libraries of TensorRT: importing them, what they say, and plugins by file."""

from __future__ import annotations

import importlib.util
import logging
import shutil
import subprocess

import pytest
from charonia.errors import InvalidArgumentError, PluginError
from charonia_backend_tensorrt.library import Library

NOT_HERE = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt") is not None,
    reason="shows what happens without TensorRT, which is installed here",
)


def test_installed_library_is_usable():
    """The module has a version, and a logger can be made once."""
    assert Library.RTX.version == Library.RTX.module.__version__
    assert Library.RTX.logger is Library.RTX.logger


@NOT_HERE
def test_library_that_is_missing_says_what_to_install():
    """The text has the library, the cause and the command."""
    with pytest.raises(PluginError, match=r'TensorRT cannot be imported .*charonia-backend-tensorrt\[tensorrt\]"'):
        _ = Library.TENSORRT.module


@NOT_HERE
def test_library_that_is_installed_is_found():
    """Where TensorRT is not installed, the one for RTX is taken."""
    assert Library.installed() is Library.RTX
    assert [Library.by_extra(extra) for extra in ("tensorrt", "rtx")] == [Library.TENSORRT, Library.RTX]


def test_warnings_are_logged_and_errors_collected(caplog):
    """What is said is the log's; what is said to be wrong is its, too, unless somebody listens."""
    severity = Library.RTX.module.ILogger.Severity
    with caplog.at_level(logging.WARNING):
        Library.RTX.logger.log(severity.WARNING, "mind\nthis")
        Library.RTX.logger.log(severity.INFO, "by the way")
        with Library.RTX.complaints() as complaints:
            Library.RTX.logger.log(severity.ERROR, "this is wrong")
        Library.RTX.logger.log(severity.INTERNAL_ERROR, "nobody listened")
    assert complaints == ["this is wrong"]
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.WARNING, "TensorRT for RTX: mind this"),
        (logging.ERROR, "TensorRT for RTX: nobody listened"),
    ]


@pytest.fixture
def compiled(tmp_path):
    """Compile C into a shared library, and give its file."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler; this machine has none")

    def compile_c(source):
        (tmp_path / "plugins.c").write_text(source)
        file = tmp_path / "libplugins.so"
        subprocess.run([compiler, "-shared", "-fPIC", "-o", file, tmp_path / "plugins.c"], check=True, timeout=60)
        return file

    return compile_c


def test_plugins_that_register_themselves_are_loaded(compiled, tmp_path):
    """Loading runs what a library does when it is loaded, where older plugins register themselves."""
    seen = tmp_path / "seen"
    file = compiled(
        "#include <stdio.h>\n__attribute__((constructor)) static void started(void) "
        f'{{ fclose(fopen("{seen}", "w")); }}\n'
    )
    Library.RTX.load_plugins(file)
    assert seen.exists()


def test_plugins_that_are_to_be_registered_are_asked(compiled, tmp_path):
    """A library that exports its creators is given to TensorRT's registry, which asks for them; one that has none is refused."""
    seen = tmp_path / "asked"
    file = compiled(
        "#include <stdio.h>\nvoid setLoggerFinder(void* finder) {}\n"
        "void* const* getCreators(int* count) "
        f'{{ fclose(fopen("{seen}", "w")); *count = 0; return 0; }}\n'
        "void* const* getPluginCreators(int* count) { *count = 0; return 0; }\n"
    )
    with pytest.raises(InvalidArgumentError, match="it registers none"):
        Library.RTX.load_plugins(file)
    assert seen.exists()


def test_library_that_cannot_be_loaded_is_named(tmp_path):
    """The text has the file and what the loader says."""
    with pytest.raises(
        InvalidArgumentError, match=r"nothing.so' cannot be loaded as a library of plugins .*nothing.so"
    ):
        Library.RTX.load_plugins(tmp_path / "nothing.so")
