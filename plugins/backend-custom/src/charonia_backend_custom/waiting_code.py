"""What a model's code may wait for, as far as its source tells: nothing, where event loops, which serve everybody, execute it.

Looked at is the source of the model's file and of the modules beside it. They may import modules that only compute. So every
value in them comes from such a module, from what is built into Python, or from the server; and whichever method of these may
wait, for a file or another model, has a name by which it is known. What runs once, while the model is loaded, may read files.
A loop without an end in sight may be one that waits. Whatever is not known here may wait.

This is about code that means no harm. What goes out of its way to hide something is not found out.
"""

from __future__ import annotations

import ast
import builtins
import sys
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from charonia_backend_custom.harmless_names import (
    HARMLESS_BUILTINS,
    METHODS_AT_LOAD,
    ONCE,
    SPECIAL_NAMES,
    WAITING_METHODS,
    is_harmless,
    is_known,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ["what_may_wait"]

_BY_NAME = {"getattr", "setattr", "hasattr", "delattr"}


class _Doubt(Exception):  # noqa: N818 - it is no error
    """Something may wait."""

    def __init__(self, node: ast.AST, what: str) -> None:
        super().__init__(f"line {getattr(node, 'lineno', 0)}: {what}")


def what_may_wait(modules: Sequence[ModuleType]) -> str:
    """Find something in a model's code that may wait.

    Args:
        modules: all modules of the model, imported, with their sources.

    Returns:
        The place, and what is there; "" where nothing is found.
    """
    own = {module.__name__ for module in modules}
    for module in modules:
        file = getattr(module, "__file__", None)
        if file is None:  # a directory
            continue
        try:
            _Look(module, own).visit(ast.parse(Path(file).read_bytes()))
        except (_Doubt, OSError, SyntaxError, ValueError, RecursionError) as doubt:  # a compiled module is no source
            return f"{file}, {doubt}"
    return ""


class _Look(ast.NodeVisitor):
    """Looks at one module, and raises a _Doubt at the first thing that may wait.

    Args:
        module: the module.
        own: the names of all modules of the model.
    """

    def __init__(self, module: ModuleType, own: set[str]) -> None:
        self._names = vars(module)
        self._package = module.__name__.partition(".")[0]
        self._own = own
        self._at_load = True  # whether what is looked at runs once, while the model is loaded
        self._depth = 0  # in how many functions and classes it is

    @contextmanager
    def _inside(self, *, at_load: bool) -> Iterator[None]:
        before, self._at_load = self._at_load, at_load
        self._depth += 1
        try:
            yield
        finally:
            self._at_load = before
            self._depth -= 1

    def _visit_all(self, nodes: Iterable[ast.AST | None]) -> None:
        for node in nodes:
            if node is not None:
                self.visit(node)

    # -- modules

    def visit_Import(self, node: ast.Import) -> None:
        self._check_depth(node)
        for alias in node.names:
            bound = self._names.get(alias.asname or alias.name.partition(".")[0])
            if not (is_known(alias.name) or self._is_own(bound)):
                raise _Doubt(node, f"imports {alias.name}")

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        self._check_depth(node)
        origin = sys.modules.get(node.module or "")
        for alias in node.names:
            value = self._names.get(alias.asname or alias.name)
            if isinstance(value, ModuleType):
                known = self._is_own(value) or is_known(value.__name__)
            elif node.level or f"{self._package}.{node.module}" in self._own:
                known = True
            else:
                known = origin is not None and is_harmless(origin.__name__, alias.name)
            if not known or alias.name == "*":
                raise _Doubt(node, f"imports {alias.name} from {node.module or '.'}")

    def _check_depth(self, node: ast.AST) -> None:
        if self._depth:
            raise _Doubt(node, "imports something in a function or a class")

    def _is_own(self, value: object) -> bool:
        return isinstance(value, ModuleType) and value.__name__ in self._own

    def visit_If(self, node: ast.If) -> None:
        if ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}:
            self._visit_all(node.orelse)
        else:
            self.generic_visit(node)

    # -- what runs when

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._visit_all([*node.decorator_list, *node.bases, *node.keywords])
        with self._inside(at_load=self._at_load):
            for statement in node.body:
                if isinstance(statement, ast.FunctionDef) and statement.name in ONCE:
                    self._visit_function(statement, at_load=self._at_load)
                else:
                    self.visit(statement)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._visit_function(node, at_load=False)

    def _visit_function(self, node: ast.FunctionDef, *, at_load: bool) -> None:
        """Look at a function, except for what is said about types."""
        self._visit_all([*node.decorator_list, *node.args.defaults, *node.args.kw_defaults])
        with self._inside(at_load=at_load):
            self._visit_all(node.body)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._visit_all([*node.args.defaults, *node.args.kw_defaults])
        self._visit_later(node.body)

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> None:
        self._visit_later(node.elt, *node.generators)

    def _visit_later(self, *nodes: ast.AST) -> None:
        with self._inside(at_load=False):
            self._visit_all(nodes)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self._visit_all([node.target, node.value])

    def visit_While(self, node: ast.While) -> None:
        if not self._at_load:
            raise _Doubt(node, "a loop without an end in sight")
        self.generic_visit(node)

    def _refuse_coroutine(self, node: ast.AST) -> None:
        raise _Doubt(node, "a coroutine")

    visit_AsyncFunctionDef = visit_Await = _refuse_coroutine  # noqa: N815 - the base's names

    # -- values

    def visit_Name(self, node: ast.Name) -> None:
        name = node.id
        if self._module_of(node) is not None:
            raise _Doubt(node, f"passes the module {name} on")
        unseen = name.startswith("__") or (hasattr(builtins, name) and name not in self._names)
        if unseen and name not in HARMLESS_BUILTINS:
            raise _Doubt(node, f"uses {name}")

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self._visit_attribute(node, called=False)

    def _visit_attribute(self, node: ast.Attribute, *, called: bool) -> None:
        module = self._module_of(node.value)
        if module is None:
            self._check_attribute(node, node.attr, called=called, private=_is_self(node.value))
            self.visit(node.value)
            return
        harmless = self._is_own(module) or is_harmless(module.__name__, node.attr, at_load=self._at_load and called)
        if not harmless or self._module_of(node) is not None or not isinstance(node.ctx, ast.Load):
            raise _Doubt(node, f"uses {ast.unparse(node)}")

    def _module_of(self, node: ast.expr) -> ModuleType | None:
        """Give the module that an expression stands for, if it does for one."""
        value: object = None
        if isinstance(node, ast.Name):
            value = self._names.get(node.id)
        elif isinstance(node, ast.Attribute):
            value = getattr(self._module_of(node.value), node.attr, None)
        return value if isinstance(value, ModuleType) else None

    def _check_attribute(self, node: ast.AST, name: str, *, called: bool, private: bool) -> None:
        """Check a name behind a dot, where what is before the dot is not known."""
        special = name.startswith("__") and name.endswith("__")
        doubtful = (special and name not in SPECIAL_NAMES) or (name.startswith("_") and not (special or private))
        waits = name in WAITING_METHODS and not (self._at_load and called and name in METHODS_AT_LOAD)
        if doubtful or waits or (name in ONCE and not self._at_load):
            raise _Doubt(node, f"uses .{name}")

    def visit_Call(self, node: ast.Call) -> None:
        function = node.func
        if isinstance(function, ast.Attribute):
            self._visit_attribute(function, called=True)
        elif isinstance(function, ast.Name) and function.id not in self._names:
            self._check_builtin(function.id, node)
        else:
            self.visit(function)
        self._visit_all([*node.args, *node.keywords])

    def _check_builtin(self, name: str, node: ast.Call) -> None:
        if name in _BY_NAME:
            wanted = node.args[1] if len(node.args) > 1 else None
            if not (isinstance(wanted, ast.Constant) and isinstance(wanted.value, str)):
                raise _Doubt(node, f"uses {name} with a name that is computed")
            self._check_attribute(node, wanted.value, called=False, private=_is_self(node.args[0]))
        elif name == "iter" and len(node.args) > 1:
            raise _Doubt(node, "a loop without an end in sight")
        elif not (name == "print" and self._at_load):
            self.visit(node.func)

    def visit_With(self, node: ast.With) -> None:
        """Look at a block. A file that is opened for one, at the load, is closed by the time when something else could read."""
        for item in node.items:
            opened = item.context_expr
            if self._at_load and isinstance(opened, ast.Call) and _is_open(opened.func):
                self._visit_all([getattr(opened.func, "value", None), *opened.args, *opened.keywords])
            else:
                self.visit(opened)
            self._visit_all([item.optional_vars])
        self._visit_all(node.body)


def _is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in {"self", "cls"}


def _is_open(function: ast.expr) -> bool:
    """Tell whether a function is `open`, or a path's method."""
    return (isinstance(function, ast.Name) and function.id == "open") or (
        isinstance(function, ast.Attribute) and function.attr == "open"
    )
