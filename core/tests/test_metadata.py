"""What a server tells about itself."""

from __future__ import annotations

import pytest
from charonia.metadata import ServerMetadata


@pytest.mark.parametrize("there", [True, False])
def test_sequences_are_there_with_their_scheduler(there):
    """The extension `sequence` has its place in the reference's order, if something serves it."""
    schedulers = ["default", "sequence_batching"] if there else ["default"]
    extensions = ServerMetadata.of("charonia", "1", schedulers).extensions
    assert extensions[:3] == (
        ("classification", "sequence", "model_repository")
        if there
        else ("classification", "model_repository", "model_repository(unload_dependents)")
    )


def test_extensions_are_the_references():
    """Where everything is installed, the list is that of the reference, word for word."""
    assert ServerMetadata.of("charonia", "1", ["default", "sequence_batching"]).extensions == (
        *("classification", "sequence", "model_repository", "model_repository(unload_dependents)", "schedule_policy"),
        *("model_configuration", "system_shared_memory", "cuda_shared_memory", "binary_tensor_data", "parameters"),
        *("statistics", "trace", "logging"),
    )
