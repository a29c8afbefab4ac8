"""Which of a model's versions are served."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from charonia_protos.model_config_pb2 import ModelVersionPolicy

__all__ = ["selected_versions"]

_log = logging.getLogger(__name__)


def selected_versions(policy: ModelVersionPolicy, available: Sequence[int], *, model: str = "") -> list[int]:
    """Choose the versions that a policy asks for, ascending.

    No policy means the latest version. An explicit `num_versions` of 0 and an empty list of versions choose nothing, as in the
    reference. A version that is asked for but not there is only logged.

    Args:
        policy: `version_policy` of the configuration.
        available: the versions that exist.
        model: the model's name, for the log.
    """
    existing = sorted(set(available))
    choice = policy.WhichOneof("policy_choice")
    if choice == "all":
        return existing
    if choice == "specific":
        wanted = set(policy.specific.versions)
        for missing in sorted(wanted.difference(existing)):
            _log.warning(
                "version %d is specified for model '%s', but the version directory is not present", missing, model
            )
        return [version for version in existing if version in wanted]
    count = policy.latest.num_versions if choice == "latest" else 1
    return existing[-count:] if count else []
