"""The settings of the log: they hold at once, for each kind of record by itself."""

from __future__ import annotations

import logging
import re

import pytest
from charonia.errors import InvalidArgumentError, UnsupportedError
from charonia.log_settings import LogSetting, LogSettings


class Kept(logging.Handler):
    """Keeps the lines that it is given."""

    def __init__(self):
        super().__init__()
        self.lines = []

    def emit(self, record):
        self.lines.append(self.format(record))


@pytest.fixture
def logger():
    logger = logging.Logger("charonia.tested", logging.INFO)  # noqa: LOG001 - one that outlives no test
    logger.addHandler(Kept())
    return logger


def settings_of(logger):
    settings = LogSettings(logger=logger)
    (handler,) = logger.handlers
    handler.addFilter(settings.passes)
    handler.setFormatter(settings.formatter)
    return settings


def logged(logger):
    (handler,) = logger.handlers
    handler.lines.clear()
    for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL):
        logger.log(level, "said")
    return "".join(line[0] for line in handler.lines)


def test_defaults_are_the_references():
    """Without a change everything but details is logged; the names and their order are the protocol's."""
    assert list(LogSettings().get().describe().items()) == [
        ("log_file", ""),
        ("log_info", True),
        ("log_warning", True),
        ("log_error", True),
        ("log_verbose_level", 0),
        ("log_format", "default"),
    ]


@pytest.mark.parametrize(
    ("changes", "letters"),
    [
        ({}, "IWEC"),
        ({"log_info": False}, "WEC"),
        ({"log_warning": False}, "IEC"),
        ({"log_error": False}, "IW"),
        ({"log_verbose_level": 1}, "DIWEC"),
        ({"log_verbose_level": 2, "log_info": False}, "DWEC"),
        ({"log_info": False, "log_warning": False, "log_error": False}, ""),
        ({"log_info": None, "bogus": 1}, "IWEC"),
    ],
)
def test_changes_hold_at_once(logger, changes, letters):
    """Each kind of record is switched by itself; null and unknown names change nothing."""
    settings_of(logger).update(changes)
    assert logged(logger) == letters


def test_unwanted_details_cost_nothing(logger):
    """The logger's level follows, so that a record which nobody wants is not even made; closing gives the level back."""
    settings = settings_of(logger)
    settings.update({"log_verbose_level": 1})
    assert logger.isEnabledFor(logging.DEBUG)
    settings.update({"log_verbose_level": 0, "log_info": False, "log_warning": False, "log_error": False})
    assert not logger.isEnabledFor(logging.CRITICAL)
    settings.close()
    assert logger.level == logging.INFO
    logger.setLevel(logging.ERROR)
    settings.close()
    assert logger.level == logging.ERROR


def test_settings_that_nobody_changed_leave_the_logger_alone():
    """An application that has a server inside keeps its own level."""
    before = logging.getLogger("charonia").level
    settings = LogSettings(LogSetting(verbose_level=1))
    settings.update({})
    settings.close()
    assert logging.getLogger("charonia").level == before


def test_formats_tell_the_time(logger):
    """By default the time of the day stands in a line, with ISO8601 the date and UTC, too."""
    settings = settings_of(logger)
    (handler,) = logger.handlers
    logger.info("said")
    settings.update({"log_format": "ISO8601"})
    logger.info("said")
    assert re.fullmatch(r"I \d\d:\d\d:\d\d\.\d{3} charonia\.tested: said", handler.lines[0])
    assert re.fullmatch(r"I \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z charonia\.tested: said", handler.lines[1])


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"log_info": "x"}, "expect boolean for 'log_info'"),
        ({"log_error": 1}, "expect boolean for 'log_error'"),
        ({"log_verbose_level": "x"}, "expect int32 for 'log_verbose_level'"),
        ({"log_verbose_level": -1}, "expect int32 for 'log_verbose_level'"),
        ({"log_verbose_level": True}, "expect int32 for 'log_verbose_level'"),
        ({"log_format": True}, "expect string for 'log_format'"),
        ({"log_format": "zz"}, "invalid argument for log_format, got: zz"),
    ],
)
def test_wrong_values_are_refused_in_the_references_words(changes, text):
    """A wrong value is told, and nothing of the same change holds."""
    settings = LogSettings()
    with pytest.raises(InvalidArgumentError) as caught:
        settings.update({"log_warning": False, **changes})
    assert str(caught.value) == text
    assert settings.get() == LogSetting()


def test_the_log_file_is_the_owners():
    """Nobody on the network says where the server writes; null says nothing."""
    with pytest.raises(UnsupportedError) as caught:
        LogSettings().update({"log_file": "/tmp/x"})
    assert str(caught.value) == "log file location can not be updated through network protocol"
    assert LogSettings().update({"log_file": None}) == LogSetting()
