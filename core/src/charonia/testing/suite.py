"""What all suites have in common: standard tests that a subclass inherits, and must not quietly replace."""

from __future__ import annotations

from typing import Any

import pytest

__all__ = ["Suite"]


class Suite:
    """Standard tests of an interface. Inherit from a suite in a class whose name begins with `Test`, and fill in what it asks.

    A standard test that cannot pass may be overridden only to be marked with `pytest.mark.xfail(reason="…")`, so that
    what an implementation does not do is told by its tests.
    """

    def test_no_standard_test_is_replaced(self) -> None:
        """Every inherited test is the suite's own, or is openly expected to fail, with a reason."""
        standard = {
            name for base in type(self).__mro__ if _is_ours(base) for name in vars(base) if name.startswith("test_")
        }
        replaced = [
            f"{base.__name__}.{name}"
            for base in type(self).__mro__
            if not _is_ours(base)
            for name, test in vars(base).items()
            if name in standard and not _is_expected_to_fail(test)
        ]
        if replaced:
            pytest.fail(
                f"{', '.join(replaced)} replaces a standard test: give it another name, or mark it with "
                'pytest.mark.xfail(reason="…") if the implementation cannot pass'
            )


def _is_ours(base: type) -> bool:
    return base.__module__.startswith("charonia.testing.")


def _is_expected_to_fail(test: Any) -> bool:
    return any(mark.name == "xfail" and mark.kwargs.get("reason") for mark in getattr(test, "pytestmark", ()))
