"""Which models use which: told in the right order, however they are woven."""

from __future__ import annotations

import pytest
from charonia.composition import CompositionError
from charonia.dependencies import Dependencies


def test_models_that_use_each_other_in_many_ways():
    """Fifty storeys of ensembles, each of which uses the one below in two ways, are put in order at once."""
    dependencies = Dependencies()
    for storey in range(50):
        for side in ("left", "right"):
            dependencies.declare(f"{side} {storey}", [f"hall {storey}"])
        dependencies.declare(f"hall {storey + 1}", [f"left {storey}", f"right {storey}"])
    used = dependencies.used("hall 50")
    assert used[:3] == ["left 49", "right 49", "hall 49"]
    assert used[-1] == "hall 0"
    assert dependencies.users("hall 0")[0] == "hall 50"
    with pytest.raises(CompositionError, match="circular dependency"):
        dependencies.declare("hall 0", ["hall 50"])
