"""Which models use which: told in the right order, however they are woven."""

from __future__ import annotations

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
    assert dependencies.declare("hall 0", ["cellar", "hall 50"]) == ["hall 50"]
    assert dependencies.used("hall 0") == ["cellar"]


def test_what_serves_and_what_is_written():
    """Until a model has been loaded as it is written, it uses both what it used and what it will."""
    dependencies = Dependencies()
    dependencies.declare("e", ["old"])
    dependencies.settle("e")
    dependencies.declare("e", ["new"])
    assert dependencies.users("old") == dependencies.users("new") == ["e"]
    assert dependencies.declare("old", ["e"]) == ["e"]
    dependencies.settle("e")
    assert dependencies.users("old") == []
    assert dependencies.past_users("old") == {"e"}
    assert dependencies.declare("old", ["e"]) == []
