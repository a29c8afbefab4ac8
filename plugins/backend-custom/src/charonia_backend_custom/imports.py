"""The modules of one loaded model, apart from those of every other model.

All models live in one interpreter, but each sees its own files. The modules of a model are imported under a name that nobody
else has (`charonia_model_7.model`, `charonia_model_7.preprocess`), and its `import` statements look, as in the reference, first
for what is installed, then into the version's directory, then into the model's. That works by the function behind the `import`
statement, which Python finds in a module's builtins: each module of a model has builtins of its own. Nothing is written
beside the model's files, so there is no `__pycache__` that could be older than they are.

Whoever asks otherwise, such as `pickle` and `importlib.import_module`, knows only the plain names. In a process that has but one
model, these are the model's modules, too.
"""

from __future__ import annotations

import builtins
import itertools
import sys
import threading
from contextlib import suppress
from importlib import import_module
from importlib.abc import Loader
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from triton_python_backend_utils.place import MARK

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from triton_python_backend_utils.place import ModelPlace

__all__ = ["ModelFinder", "ModelImports"]

_numbers = itertools.count(1)
_meta_path_lock = threading.Lock()  # guards the replacement of `sys.meta_path`


class ModelFinder:
    """Finds the modules of the models that are loaded, for Python's import system. One for each backend, which closes it.

    `sys.meta_path` is replaced and not written to, since another thread may be walking over it.

    Args:
        alone: whether the process has but one model, so that the plain names of its modules can be nobody else's.
    """

    def __init__(self, *, alone: bool = False) -> None:
        self.alone = alone
        self.installed = tuple(sys.path)  # where installed packages are found; no model has added to it yet
        self._models: dict[str, ModelImports] = {}
        with _meta_path_lock:
            sys.meta_path = [self, *sys.meta_path]

    def add(self, package: str, imports: ModelImports) -> None:
        """Find what is below a package in the directories of a model."""
        self._models[package] = imports

    def remove(self, package: str) -> None:
        """Find nothing below a package any more."""
        self._models.pop(package, None)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a module of a model; called by Python's import system for every module that it does not know yet."""
        imports = self._models.get(fullname.partition(".")[0])
        if imports is None:
            return self._find_plain(fullname) if self.alone else None
        spec = PathFinder.find_spec(fullname, path)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _SourceLoader(spec.loader.name, spec.loader.path, imports)
        return spec

    def _find_plain(self, name: str) -> ModuleSpec | None:
        """Find a module of the one model by its plain name."""
        for imports in self._models.values():
            own = imports.own_name(name)
            if own is not None:
                return ModuleSpec(name, _SecondName(own))
        return None

    def close(self) -> None:
        """Leave the import system."""
        with _meta_path_lock:
            sys.meta_path = [finder for finder in sys.meta_path if finder is not self]


class ModelImports:
    """The modules of one loaded model. `close` forgets them.

    Args:
        place: the model; told to each of its modules.
        finder: finds them for the import system.
    """

    def __init__(self, place: ModelPlace, finder: ModelFinder) -> None:
        self.place = place
        self.builtins = {**vars(builtins), "__import__": self._import}
        self._model_directory = place.directory.parent
        self._finder = finder
        self._package = f"charonia_model_{next(_numbers)}"
        self._added: list[str] = []
        self._own: dict[str, bool] = {}

    def load(self, file: Path) -> ModuleType:
        """Run the model's file, and give its module.

        Raises:
            Exception: whatever the file, or what it imports, raises.
        """
        self._forget_listings()
        self._finder.add(self._package, self)
        self._run(self._package_spec())
        module = self._run(self._own_spec(f"{self._package}.{file.stem}", file.absolute()))
        self.keep_added_paths()
        return module

    def _forget_listings(self) -> None:
        """Have directories listed anew: the model's own, and those that were not there.

        `importlib.invalidate_caches` does so with all, but fails where two threads are in it.
        """
        below = str(self._model_directory.absolute())
        for path, listing in sys.path_importer_cache.copy().items():
            if listing is None or path.startswith(below):
                sys.path_importer_cache.pop(path, None)

    def modules(self) -> list[ModuleType]:
        """List the modules that have been imported, the model's file among them; not what one has put in its own place."""
        loaded = sys.modules.copy()  # at one stroke: a list of its items may let other threads import while it is made
        return [module for name, module in loaded.items() if self._is_below(name) and isinstance(module, ModuleType)]

    def _is_below(self, name: str) -> bool:
        """Tell whether a module's name is one that the model's modules have, and nobody else's."""
        return name.partition(".")[0] == self._package

    def _package_spec(self) -> ModuleSpec:
        file = self.place.directory / "__init__.py"
        if file.is_file():
            spec = self._own_spec(self._package, file)
            spec.submodule_search_locations = self._search_path()
            return spec
        spec = ModuleSpec(self._package, None, is_package=True)
        spec.submodule_search_locations = self._search_path()
        return spec

    def _own_spec(self, name: str, file: Path) -> ModuleSpec:
        spec = spec_from_file_location(name, file, loader=_SourceLoader(name, str(file), self))
        assert spec is not None  # noqa: S101 - it is only None where there is no loader
        return spec

    @staticmethod
    def _run(spec: ModuleSpec) -> ModuleType:
        module = module_from_spec(spec)
        sys.modules[spec.name] = module
        if spec.loader is not None and isinstance(spec.loader, _SourceLoader):
            spec.loader.exec_module(module)
        return module

    def keep_added_paths(self) -> None:
        """Keep to this model what its code has added to `sys.path`, as far as it lies in the model's directory."""
        added = self._own_entries()
        self._added += [entry for entry in added if entry not in self._added]
        if added:
            sys.path = [entry for entry in sys.path if entry not in added]  # replaced: another thread may walk over it

    def close(self) -> None:
        """Forget the modules. The model's code does not run any more. Idempotent."""
        self._finder.remove(self._package)
        self.keep_added_paths()
        own = {id(module) for module in self.modules() if self._is_below(module.__name__)}
        for name, module in sys.modules.copy().items():  # since other threads import meanwhile
            if self._is_below(name) or id(module) in own:  # a module of the model's may have other names, too
                del sys.modules[name]

    def _import(
        self,
        name: str,
        globals: Mapping[str, Any] | None = None,  # noqa: A002 - the name that Python gives
        locals: Mapping[str, Any] | None = None,  # noqa: A002 - the same
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        """Do what an `import` statement in the model's code says."""
        top = name.partition(".")[0]
        if level or not self._is_own(top):
            return builtins.__import__(name, globals, locals, fromlist or (), level)
        module = builtins.__import__(f"{self._package}.{name}", globals, locals, fromlist or (), 0)
        if self._finder.alone:
            self._have_plain_names(name)
        return module if fromlist else sys.modules[f"{self._package}.{top}"]

    def _have_plain_names(self, name: str) -> None:
        """Have a module that is imported be known by its plain name, and so the packages above it.

        Not by importing it under that name, which would take a second lock for it: two threads could come to wait for each other.
        """
        while name:
            sys.modules.setdefault(name, sys.modules[f"{self._package}.{name}"])
            name = name.rpartition(".")[0]

    def own_name(self, name: str) -> str | None:
        """Give the name that a module of the model is imported under, by its plain name. None if it is none of the model's."""
        return f"{self._package}.{name}" if self._is_own(name.partition(".")[0]) else None

    def _is_own(self, top: str) -> bool:
        """Tell whether a top-level name is a module of the model: one that is in its directories, and not installed."""
        known = self._own.get(top)
        if known is not None:
            return known
        if top in sys.stdlib_module_names or _is_regular(PathFinder.find_spec(top, self._finder.installed)):
            self._own[top] = False
            return False
        search_path = self._search_path()
        found = PathFinder.find_spec(top, search_path) is not None
        if found:
            sys.modules[self._package].__path__ = search_path
            self._own[top] = True
        return found

    def _search_path(self) -> list[str]:
        return [str(self.place.directory), str(self._model_directory), *self._added, *self._own_entries()]

    def _own_entries(self) -> list[str]:
        """List the entries of `sys.path` that lie in the model's directory, and in no other version's."""
        version, model = self.place.directory.resolve(), self._model_directory.resolve()
        own = []
        for entry in list(sys.path):
            path = Path(entry).resolve()
            if path.is_relative_to(version):
                own.append(entry)
            elif path.is_relative_to(model):
                parts = path.relative_to(model).parts
                own += [] if parts and parts[0].isdigit() else [entry]
        return own


def _is_regular(spec: ModuleSpec | None) -> bool:
    """Tell whether a module was found, and not just a directory of its name."""
    return spec is not None and spec.origin is not None


class _SecondName(Loader):
    """Has a module that is there under its own name be there under another one, too."""

    def __init__(self, own: str) -> None:
        self._own = own

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Give the module, imported under its own name if it was not yet."""
        module = import_module(self._own)
        self._spec = getattr(module, "__spec__", None)  # it may have put an object without one in its own place
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Leave the module as it was before the import system described it by its other name."""
        with suppress(AttributeError):
            module.__spec__ = self._spec


class _SourceLoader(SourceFileLoader):
    """Runs a file of a model, always from its source."""

    def __init__(self, name: str, path: str, imports: ModelImports) -> None:
        super().__init__(name, path)
        self._imports = imports

    def exec_module(self, module: ModuleType) -> None:
        """Run the module, with the model's own `import` statement."""
        vars(module)["__builtins__"] = self._imports.builtins
        vars(module)[MARK] = self._imports.place
        super().exec_module(module)

    def get_code(self, fullname: str) -> Any:
        """Compile the source; no compiled form is read or written."""
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)
