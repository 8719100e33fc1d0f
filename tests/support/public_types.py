"""The types that public signatures name, read from the sources: also those that only type checkers import."""

import ast
from importlib import import_module

from support.imports import modules

PUBLIC = (
    "plugtron",
    "plugtron.assembly",
    "plugtron.checkpoint",
    "plugtron.context",
    "plugtron.contracts",
    "plugtron.engine",
    "plugtron.errors",
    "plugtron.execution",
    "plugtron.hub",
    "plugtron.kernels",
    "plugtron.nn",
    "plugtron.parallel",
    "plugtron.parsing",
    "plugtron.plugin",
    "plugtron.quantization",
    "plugtron.request",
    "plugtron.scores",
    "plugtron.serve",
    "plugtron.spec",
    "plugtron.testing",
    "plugtron.tokenizer",
    "plugtron.utils",
    "plugtron_controllers",
    "plugtron_engines",
)
_MODULES = modules()


def _tree(module):
    return ast.parse(_MODULES[module].read_text())


def _imports(module):
    """What a module's imported names stand for: {name: (module, name there)}."""
    found = {}
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.ImportFrom) and node.module in _MODULES:
            for alias in node.names:
                found[alias.asname or alias.name] = (node.module, alias.name)
    return found


def origin(module, name):
    """Where a name is defined, followed through the modules that pass it on."""
    homes = getattr(import_module(module), "_HOMES", {})
    passed_on = (homes[name], name) if name in homes else _imports(module).get(name)
    return (module, name) if passed_on is None else origin(*passed_on)


def public_names():
    """All public names: {(module, name) as defined: the public module that has it}."""
    found = {}
    for public in PUBLIC:
        for name in import_module(public).__all__:
            found.setdefault(origin(public, name), public)
    return found


def _annotations(node):
    """The annotations of a definition that its users see."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        arguments = node.args
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
        yield from (argument.annotation for argument in every if argument is not None and argument.annotation)
        if node.returns is not None:
            yield node.returns
    elif isinstance(node, ast.AnnAssign):
        yield node.annotation
        if isinstance(node.annotation, ast.Name) and node.annotation.id == "TypeAlias":
            yield node.value
    elif isinstance(node, ast.ClassDef):
        yield from (base for base in node.bases if not getattr(base, "id", "").startswith("_"))
        for member in node.body:
            name = getattr(member, "name", None) or getattr(getattr(member, "target", None), "id", "")
            if not name.startswith("_") or name in ("__init__", "__call__"):
                yield from _annotations(member)


def _definition(module, name):
    for node in _tree(module).body:
        named = getattr(node, "name", None) or getattr(getattr(node, "target", None), "id", None)
        if named == name or (
            isinstance(node, ast.Assign) and any(getattr(target, "id", None) == name for target in node.targets)
        ):
            return node
    raise LookupError(f"{module} does not define {name}")


def _names(annotation):
    for node in ast.walk(annotation):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            try:
                yield from _names(ast.parse(node.value, mode="eval"))
            except SyntaxError:
                continue  # a text, of a Literal
        elif isinstance(node, ast.Name) and not node.id.startswith("_"):
            yield node.id


def types_of(module, name):
    """The types of ours that a public definition names: (module, name) as defined."""
    imported = _imports(module)
    own = {getattr(node, "name", None) for node in _tree(module).body} | {
        getattr(target, "id", None)
        for node in _tree(module).body
        for target in (node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)])
    }
    for annotation in _annotations(_definition(module, name)):
        for used in _names(annotation):
            if used in imported:
                yield origin(*imported[used])
            elif used in own:
                yield (module, used)
