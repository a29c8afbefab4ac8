"""What the plugin says of itself before anything of it is imported."""

from __future__ import annotations

import subprocess
import sys

from charonia.plugins import Plugins


def test_the_reference_s_options_are_offered():
    """The options have the reference's names and its port."""
    (offer,) = (offer for name, offer in Plugins().frontends().items() if name == "metrics")
    defaults = {option.name: option.default for option in offer.options}
    assert defaults == {
        "allow-metrics": True,
        "allow-gpu-metrics": True,
        "allow-cpu-metrics": True,
        "metrics-address": "127.0.0.1",
        "metrics-port": 8002,
        "metrics-interval-ms": 2000,
        "metrics-config": "",
    }


def test_asking_for_the_offer_imports_no_library():
    """Neither prometheus-client nor the GPU's library is imported with the plugin."""
    code = "import sys, charonia_metrics_prometheus; print({'prometheus_client', 'pynvml'} & set(sys.modules) or 'nothing')"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "nothing"
