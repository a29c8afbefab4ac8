"""What `--metrics-config` may say."""

from __future__ import annotations

import pytest
from charonia.errors import CharoniaError
from charonia_metrics_prometheus.settings import MetricsSettings, read_settings


def test_without_a_word_there_are_counters_and_histograms():
    """Counters and histograms are told, and quantiles are not."""
    settings = read_settings([])
    assert settings == MetricsSettings()
    assert (settings.counter_latencies, settings.histogram_latencies, settings.summary_latencies) == (True, True, False)


def test_each_setting_is_read_and_the_last_one_wins():
    """Switches and quantiles are read, and the errors of quantiles are passed over."""
    told = ["counter_latencies=false", "summary_latencies=true", "summary_quantiles=0.5:0.05,0.25:0.1"]
    settings = read_settings([*told, "counter_latencies=1"])
    assert settings == MetricsSettings(summary_latencies=True, quantiles=(0.5, 0.25))


def test_no_quantile_comes_twice():
    """Whoever asks for one twice gets one row, as Prometheus refuses equal ones."""
    assert read_settings(["summary_quantiles=0.5:0.05,0.9:0.1,0.5:0.01"]).quantiles == (0.5, 0.9)


@pytest.mark.parametrize(
    ("told", "text"),
    [
        ("foo", "--metrics-config option format is <setting>=<value>. Got foo"),
        ("=true", "--metrics-config option format is <setting>=<value>. Got =true"),
        ("foo=true", "there is no setting 'foo' (settings: counter_latencies, "),
        ("summary_latencies=maybe", "expected summary_latencies=true or summary_latencies=false"),
        ("summary_quantiles=half", "expected <quantile>:<error>"),
        ("summary_quantiles=50:0.1", "with quantiles from 0 to 1"),
    ],
)
def test_what_is_wrong_is_told(told, text):
    """A malformed or unknown setting names itself and what is expected."""
    with pytest.raises(CharoniaError) as raised:
        read_settings([told])
    assert text in str(raised.value)
