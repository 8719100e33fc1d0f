"""The import direction is one way, and plugins use public names only. Imports of every kind count."""

from support.draw_map import draw
from support.imports import FLOOR, ROOT, circles, imported, modules, room
from support.public_types import PUBLIC

MODULES = modules()
#: `import plugtron` hands out names from everywhere, and loads nothing by itself.
FACADE = "plugtron"


def imports(module):
    own = {name for name in imported(MODULES[module], MODULES) if name in MODULES}
    return own - {module, FACADE}


def test_every_room_has_a_floor():
    assert {room(module) for module in MODULES} - {FACADE} == set(FLOOR)


def test_imports_go_down():
    up = [
        f"{module} imports {other}"
        for module in MODULES
        if module != FACADE
        for other in imports(module)
        if room(other) != room(module) and FLOOR[room(other)] >= FLOOR[room(module)]
    ]
    assert not up


def test_the_core_knows_no_plugin():
    assert not [
        f"{module} imports {other}"
        for module in MODULES
        if module.startswith("plugtron.")
        for other in imports(module)
        if other.startswith("plugtron_")
    ]


def test_no_modules_import_each_other():
    assert not circles({module: imports(module) for module in MODULES if module != FACADE})


def test_plugins_import_public_modules_only():
    """The built-in plugins do with what anybody's may import."""
    for module, path in MODULES.items():
        if module.startswith("plugtron_"):
            foreign = {name for name in imported(path, MODULES) if name.startswith("plugtron")}
            foreign = {name for name in foreign if room(name) != room(module)}
            assert foreign <= set(PUBLIC), f"{module}: {foreign - set(PUBLIC)}"


def test_files_are_short():
    sizes = [len(path.read_text().splitlines()) for path in MODULES.values()]
    assert max(sizes) <= 400, ROOT
    assert sorted(sizes)[len(sizes) // 2] <= 120


def test_the_map_is_drawn_anew_when_imports_change():
    """`make map` draws it."""
    assert (ROOT / "docs" / "rooms.svg").read_text().splitlines() == list(draw())
