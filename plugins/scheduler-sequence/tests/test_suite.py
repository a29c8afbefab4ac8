"""Both ways of batching sequences keep to what every scheduler must."""

from __future__ import annotations

import numpy as np
from charonia.request import InferenceRequest
from charonia.testing.builders import model_config, scheduler_context
from charonia.testing.scheduler_suite import SchedulerSuite
from charonia_scheduler_sequence.scheduler import SequenceScheduler


class SequenceSuite(SchedulerSuite):
    """Requests that are whole sequences are scheduled as those of any other model."""

    def make_request(self, number):
        """Make a request that starts and ends its sequence."""
        return InferenceRequest(
            "model",
            {"INPUT0": np.zeros((1, 16), np.float32)},
            lambda _: None,
            id=str(number),
            correlation_id=number + 1,
            flags=3,
        )


class TestDirect(SequenceSuite):
    """Direct."""

    def make_scheduler(self):
        """Make a scheduler with eight slots for each instance."""
        config = model_config(max_batch_size=8)
        config.sequence_batching.max_sequence_idle_microseconds = 1_000_000
        return SequenceScheduler(scheduler_context(config))


class TestOldest(SequenceSuite):
    """Oldest."""

    def make_scheduler(self):
        """Make a scheduler with a hundred slots for each instance."""
        config = model_config(max_batch_size=8)
        config.sequence_batching.max_sequence_idle_microseconds = 1_000_000
        config.sequence_batching.oldest.max_candidate_sequences = 100
        return SequenceScheduler(scheduler_context(config))
