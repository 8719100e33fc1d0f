"""Who imports whom: every import of every module, at the top, inside functions and for type checkers alone."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
FAMILIES = {path.name: path for path in sorted((ROOT / "plugins").glob("*/plugtron_*"))}

#: From the bottom up. A room imports from lower floors only, whatever kind of import it is.
FLOORS = [
    {"errors"},
    {"utils"},
    {"quantization"},
    {"parallel"},
    {"request"},
    {"hub"},
    {"formats"},
    {"plugin"},
    {"contracts"},
    {"spec"},
    {"kernels", "checkpoint", "context", "tokenizer", "parsing"},
    {"engine", "routing"},
    {"nn"},
    {"execution"},
    {"assembly"},
    {"scores"},
    {"llm", "diagnosis", "serve"},
    {*FAMILIES, "convert", "bench", "testing", "scaffold", "integrations", "chat"},
    {"cli"},
    {"__main__"},
]
FLOOR = {name: number for number, names in enumerate(FLOORS) for name in names}


def modules():
    """All modules of plugtron and its plugins, by dotted name."""
    packages = {"plugtron": ROOT / "core" / "plugtron", **FAMILIES}
    found = {}
    for package in packages.values():
        for path in sorted(package.rglob("*.py")):
            parts = path.relative_to(package.parent).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(path, known):
    """The names of the modules that a file imports, one of ours or another's."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide where things are"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in known else node.module


def room(module):
    """The package directly below plugtron, or a family of plugins; a module beside them is a room of its own."""
    parts = module.split(".")
    return parts[1] if parts[0] == "plugtron" and len(parts) > 1 else parts[0]


def circles(arrows):
    """Sets of names that reach each other along arrows {name: names}."""

    def reached(name):
        seen, todo = set(), [name]
        while todo:
            for other in arrows.get(todo.pop(), ()):
                if other not in seen:
                    seen.add(other)
                    todo.append(other)
        return seen

    reach = {name: reached(name) for name in arrows}
    return {frozenset(other for other in reach[name] if name in reach.get(other, ())) for name in reach} - {frozenset()}
