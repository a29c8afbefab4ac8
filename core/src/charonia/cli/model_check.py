"""Finding what is wrong with one model whose configuration could be read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from charonia.config import check_loadable, normalise
from charonia.errors import RepositoryError
from charonia.plugin_hints import explain_lack, install_command, is_installed
from charonia.scheduler import scheduler_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from charonia.config import ModelConfig
    from charonia.errors import ConfigProblem
    from charonia.model_repositories import Candidate
    from charonia.plugins import Plugins

__all__ = ["Finding", "ModelCheck", "Severity", "is_whole"]

Severity: TypeAlias = Literal["error", "warning"]
"""An error keeps the model from being loaded; a warning does not."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        place: the file or directory.
        severity: how bad it is.
        text: what is wrong and what to do.
        line: the line in the file, or 0.
    """

    place: str
    severity: Severity
    text: str
    line: int = 0

    def __str__(self) -> str:
        """Write it as compilers do, so that editors find the place."""
        line = f":{self.line}" if self.line else ""
        return f"{self.place}{line}: {self.severity}: {self.text}"


class ModelCheck:
    """Checks one model.

    Args:
        candidate: the model as it was read.
        place: its directory, for people.
        plugins: what is installed.
        auto_complete: whether a backend may complete the configuration.

    Attributes:
        missing: the kinds and names of what nothing that is installed provides.
    """

    def __init__(self, candidate: Candidate, place: str, plugins: Plugins, *, auto_complete: bool) -> None:
        self._candidate = candidate
        self._config = candidate.parsed.config
        self._place = place
        self._file = f"{place}/{candidate.parsed.file}" if candidate.parsed.file else place
        self._plugins = plugins
        self._auto_complete = auto_complete
        self._found: list[Finding] = []
        self.missing: set[tuple[str, str]] = set()

    def run(self, composition: Sequence[ConfigProblem]) -> list[Finding]:
        """Give all that is wrong, in the order of the file, then what is missing beside it.

        Args:
            composition: what is wrong with the model as one that is made of others.
        """
        self._add_problems(composition)
        self._check_tensors()
        self._check_plugins()
        self._check_response_cache()
        self._check_label_files()
        self._found.sort(key=lambda finding: finding.line)
        self._check_versions()
        self._check_warmup_files()
        return self._found

    def _add(self, text: str, field: str = "", severity: Severity = "error") -> None:
        line = self._candidate.parsed.places.get(field, 0)
        self._found.append(Finding(self._file, severity, text, line))

    def _add_problems(self, problems: Sequence[ConfigProblem]) -> None:
        self._found += [Finding(self._file, "error", str(problem), problem.line) for problem in problems]

    def _check_tensors(self) -> None:
        """Check what does not depend on the backend, provided that the backend has nothing to add to it."""
        if self._auto_complete and not is_whole(self._config):
            return
        gpus = sorted({gpu for group in self._config.instance_group for gpu in group.gpus} or {0})
        config = normalise(self._config, gpus=gpus)
        self._add_problems(check_loadable(config, gpus=gpus, places=self._candidate.parsed.places))

    def _check_plugins(self) -> None:
        asker = f'model "{self._candidate.name}"'
        wishes: list[tuple[str, str, str]] = [
            ("scheduler", scheduler_name(self._config), self._config.WhichOneof("scheduling_choice") or "")
        ]
        if self._config.platform != "ensemble":
            field = "backend" if "backend" in self._candidate.parsed.places else "platform"
            wishes.append(("backend", self._config.backend, field))
        for kind, name, field in wishes:
            if name not in self._plugins.names(kind):
                records = self._plugins.records()
                self._add(explain_lack(asker, kind, name, records), field)
                if not is_installed(kind, name, records):
                    self.missing.add((kind, name))

    def _check_response_cache(self) -> None:
        if self._config.response_cache.enable and not self._plugins.names("cache"):
            lack = f"no response cache is installed: {install_command(('cache', 'local'))}"
            self._add(f"response_cache has no effect, since {lack}", "response_cache.enable", "warning")

    def _check_label_files(self) -> None:
        files = {entry.name for entry in self._candidate.storage.entries(self._candidate.name)}
        for index, output in enumerate(self._config.output):
            if output.label_filename and output.label_filename not in files:
                text = f'output "{output.name}" has the label file "{output.label_filename}", which is not in {self._place}'
                self._add(f"{text}: add it, or remove label_filename", f"output[{index}].label_filename")

    def _check_versions(self) -> None:
        storage, name = self._candidate.storage, self._candidate.name
        if not self._candidate.available:
            text = f"no version: put the model into {self._place}/1, or another directory whose name is a number"
            self._found.append(Finding(self._place, "error", text))
        elif not self._candidate.versions:
            told = ", ".join(map(str, self._candidate.available))
            text = (
                f"at least one version must be available under the version policy of model '{name}' (there are {told})"
            )
            self._add(text, "version_policy")
        file = self._config.default_model_filename
        for version in self._candidate.versions:
            inside = {entry.name for entry in storage.entries(name, str(version))}
            if file and self._config.platform != "ensemble" and file not in inside:
                there = ", ".join(sorted(inside)) or "nothing"
                text = f"version {version} has no {file} (there is: {there}): add it, or name another default_model_filename"
                self._found.append(Finding(f"{self._place}/{version}", "error", text))

    def _check_warmup_files(self) -> None:
        wanted = sorted(
            {
                tensor.input_data_file
                for sample in self._config.model_warmup
                for tensor in sample.inputs.values()
                if tensor.WhichOneof("input_data_type") == "input_data_file"
            }
        )
        if not wanted:
            return
        try:
            there = {entry.name for entry in self._candidate.storage.entries(self._candidate.name, "warmup")}
        except RepositoryError:
            there = set()
        for file in wanted:
            if file not in there:
                self._found.append(Finding(self._place, "error", f"warm-up needs warmup/{file}, which is not there"))


def is_whole(config: ModelConfig) -> bool:
    """Tell whether a configuration leaves a backend nothing to add."""
    inputs = [bool(tensor.name and tensor.data_type and tensor.dims) for tensor in config.input]
    outputs = [bool(tensor.name and tensor.data_type and tensor.dims) for tensor in config.output]
    return bool(inputs and outputs) and all(inputs + outputs)
