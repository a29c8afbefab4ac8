"""What the plugin says about itself before anything of it is imported."""

from __future__ import annotations

import subprocess
import sys

from charonia_frontend_grpc import OPTIONS, charonia_frontends


def test_offer_is_the_frontend_with_its_options():
    """The one frontend is offered by path, with the reference's names for what the reference has."""
    offer = charonia_frontends()["grpc"]
    assert offer.path == "charonia_frontend_grpc.frontend:GrpcFrontend"
    defaults = {option.name: option.default for option in offer.options}
    assert defaults["grpc-port"] == 8001
    assert defaults["grpc-address"] == "127.0.0.1"
    assert defaults["grpc-max-message-size"] == 2**31 - 1


def test_options_are_sentences_of_this_frontend():
    """Each option names its frontend and explains itself."""
    for option in OPTIONS:
        assert "grpc" in option.name
        assert option.help.endswith(".")


def test_offer_imports_no_transport():
    """Telling what is there costs neither grpcio nor protobuf."""
    program = "import sys, charonia_frontend_grpc; print('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert not {"grpc", "google.protobuf", "numpy"} & set(done.stdout.split())
