"""What has changed about a model since it was loaded, so that a load does what is needed and no more.

A version stays as it is if neither its files, nor those that all versions share, nor the configuration have changed. How many
instances there are, and which versions serve, may change: that is no reason to load the weights of a version again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from charonia.repository import CONFIG_FILES, CONFIG_FOLDER, is_version

if TYPE_CHECKING:
    from collections.abc import Mapping

    from charonia.config import ModelConfig
    from charonia.model_repositories import Candidate

__all__ = ["same_but_instances", "unchanged_versions"]


def unchanged_versions(before: Candidate | None, now: Candidate) -> frozenset[int]:
    """Find the versions that need not be loaded again.

    Args:
        before: what the versions that serve were made of; None where none does.
        now: what lies there now. Its storage may be unable to tell the states of files: then every version counts as changed.
    """
    if before is None or before.storage is not now.storage or not now.files:
        return frozenset()
    if not same_but_instances(before.parsed.config, now.parsed.config) or _shared(before.files) != _shared(now.files):
        return frozenset()
    both = set(before.versions) & set(now.versions)
    return frozenset(version for version in both if _own(before.files, version) == _own(now.files, version))


def same_but_instances(before: ModelConfig, now: ModelConfig) -> bool:
    """Tell whether two configurations differ in what may change in place at most: the instances, and the version policy."""
    return _essence(before) == _essence(now)


def _essence(config: ModelConfig) -> ModelConfig:
    """Give a configuration without what may change in place."""
    essence = type(config)()
    essence.CopyFrom(config)
    essence.ClearField("instance_group")
    essence.ClearField("version_policy")
    return essence


def _shared(files: Mapping[str, str]) -> dict[str, str]:
    """Give the files that are of no version, save those where the configuration may stand."""
    tops = {path: path.partition("/") for path in files}
    return {
        path: files[path]
        for path, (top, slash, _) in tops.items()
        if not (slash and (is_version(top) or top == CONFIG_FOLDER)) and path not in CONFIG_FILES
    }


def _own(files: Mapping[str, str], version: int) -> dict[str, str]:
    return {path: state for path, state in files.items() if path.startswith(f"{version}/")}
