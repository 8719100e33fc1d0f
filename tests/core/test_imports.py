"""The import direction is one way, and plugins use public names only."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CORE = ROOT / "core" / "plugtron"

#: From the bottom up. A module may import from its own layer and from those below.
LAYERS = [
    {"errors", "lazy", "api_version"},
    {
        "component",
        "options",
        "messages",
        "progress",
        "run",
        "json_file",
        "stats",
        "private_files",
        "verified",
        "unfinished",
    },
    {"chat_options", "sampling_params", "request", "prompts", "waiting", "mailbox", "turn_lock"},
    {"hooks", "contracts", "events", "scheduler"},
    {"registry"},
    {"discovery", "host", "models", "download"},
    {"attributes"},
    {"spec"},
    {"tokenizer", "parallel", "intake", "dtypes", "stored_dtype", "replicas", "driver"},
    {"checkpoint", "context", "builtin"},
    {"quantization"},
    {"kernels"},
    {"execution", "nn"},
    {"building", "closing"},
    {"assembly", "convert"},
    {"llm", "bench"},
    {"cli"},
]
#: Where a lower layer reaches up on purpose: a file that is told apart from its package.
EXCEPTIONS = {
    # A rank that was started by a leader is an entry point, and stands with the others of its kind.
    ("parallel/follower.py", "assembly"),
    # Which parameters there are is the plugins' business, and plugins know of requests.
    ("sampling_params.py", "attributes"),
    # The tokenizer in a GGUF file is in the file's header.
    ("tokenizer/gguf.py", "checkpoint"),
}


def imports(path):
    """All modules that a file imports, nested imports included, those for type checkers alone left out."""
    tree = ast.parse(path.read_text())
    typing_only = {
        node
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and isinstance(block.test, ast.Name) and block.test.id == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if node in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide where things are"
            yield from (
                [f"plugtron.{alias.name}" for alias in node.names] if node.module == "plugtron" else [node.module]
            )


def layer(name):
    return next(index for index, names in enumerate(LAYERS) if name in names)


@pytest.mark.parametrize("path", sorted(CORE.rglob("*.py")), ids=lambda path: str(path.relative_to(CORE)))
def test_core_imports_downwards(path):
    relative = path.relative_to(CORE)
    own = relative.parts[0].removesuffix(".py")
    if own in ("__init__", "__main__"):
        return
    for module in imports(path):
        if module.startswith("plugtron."):
            other = module.split(".")[1]
            if other.startswith("__") or (str(relative), other) in EXCEPTIONS:
                continue
            assert layer(other) <= layer(own), f"{relative} imports {module}"
        assert not module.startswith("plugtron_"), f"{relative}: the core knows no plugin"


FAMILIES = ["plugtron_engines", "plugtron_controllers", "plugtron_wrappers", "plugtron_samplers"]


@pytest.mark.parametrize("family", FAMILIES)
def test_plugins_import_the_core_and_themselves(family):
    for path in (ROOT / "plugins").rglob(f"{family}/*.py"):
        for module in imports(path):
            assert not any(module.startswith(other) for other in FAMILIES if other != family), f"{path}: {module}"
            assert not any(part.startswith("_") for part in module.split(".") if part != "__future__"), (
                f"{path}: {module}"
            )


def test_files_are_short():
    sizes = {
        path: len(path.read_text().splitlines()) for path in [*CORE.rglob("*.py"), *(ROOT / "plugins").rglob("*.py")]
    }
    assert max(sizes.values()) <= 400
    assert sorted(sizes.values())[len(sizes) // 2] <= 120
