"""Planted faults: a class of checks must catch each, in the check and with the words that a table says."""

import json
import shutil
from pathlib import Path

#: A test file with a class for each faulty component.
_CLASS = """
class Test{name}({base}):
    plugin = {plugin!r}
    component = {component!r}
{attributes}
"""


def found_by(pytester, base, plugin, attributes):
    """Run a class of checks over components of a module in this folder.

    Args:
        base: the class's name in plugtron.testing.
        plugin: the module's name.
        attributes: what the class says besides, as source, by component.

    Returns:
        What each check that failed has said, {component: {check: reason}}.
    """
    shutil.copy(Path(__file__).parent / f"{plugin}.py", pytester.path)
    classes = [
        _CLASS.format(
            name=component.title().replace("_", ""),
            base=base,
            plugin=plugin,
            component=component,
            attributes=f"    {said}",
        )
        for component, said in attributes.items()
    ]
    pytester.makepyfile(test_faults=f"from plugtron.testing import {base}\n" + "".join(classes))
    pytester.syspathinsert()
    # What starts a process takes seconds, and is tried with one component (test_fresh_process.py).
    pytester.runpytest_inprocess(
        "-q", "-k", "not survives_spawn", "--plugtron-report", "report.json", "-p", "no:cacheprovider"
    )
    checks = json.loads((pytester.path / "report.json").read_text())["checks"]
    found = {component: {} for component in attributes}
    for check in checks:
        if check["outcome"] == "failed":
            found[check["component"].split()[1]][check["check"]] = check["reason"]
    return found


def assert_caught(found, expected):
    """Compare with a table {component: (check, words)}; a component without a fault passes everything."""
    for component, fault in expected.items():
        if fault is None:
            assert not found[component], component
            continue
        check, words = fault
        assert words in found[component].get(check, ""), f"{component}: {found[component]}"
