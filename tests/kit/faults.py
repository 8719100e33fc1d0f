"""Running classes of checks over planted faults, each of which must be caught as a table says."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import plugtron.testing

#: What starts processes: a second or more each. Tried over all that is planted by make test-all.
_SLOW = {"survives_spawn", "over_ranks", "ranks_agree"}


@dataclass(frozen=True, kw_only=True)
class Planted:
    """Faulty components of a kind, and what must catch each.

    Args:
        base: the class of checks, by its name in plugtron.testing.
        plugin: the module that offers the components.
        faults: (check, words) by component; None: it is right, and passes everything.
        common: what the classes say besides, as lines of source, which may name the module.
        beyond: the class whose checks are tried elsewhere.
        own: the same for single components; a component that is planted there under another name says so.
    """

    base: str
    plugin: str
    faults: Mapping[str, tuple[str, str] | None]
    beyond: str = "ComponentChecks"
    common: tuple[str, ...] = ()
    own: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def lines(self, name):
        """What the class for a component says."""
        return [f"plugin = {self.plugin!r}", f"component = {name!r}", *self.common, *self.own.get(name, ())]


def checks_of(base, beyond="ComponentChecks"):
    """The checks that a class adds to those of another."""
    base, beyond = getattr(plugtron.testing, base), getattr(plugtron.testing, beyond)
    return {name.removeprefix("test_") for name in dir(base) if name.startswith("test_") and not hasattr(beyond, name)}


def found_in(pytester, planted, *, everything=False):
    """Run the checks: of a faulty component the one that is meant for it, of one that is right all.

    What importing the plugin does is tried elsewhere (test_plugin_checks.py).

    Args:
        everything: all checks of all components, those that start processes among them.

    Returns:
        What each check that failed has said, {component: {check: reason}}.
    """
    own = checks_of(planted.base, "PluginChecks" if planted.beyond == "ComponentChecks" else planted.beyond)
    chosen = {
        name: own if everything else own - _SLOW if fault is None else {fault[0]}
        for name, fault in planted.faults.items()
    }
    return run_classes(pytester, planted.base, {name: planted.lines(name) for name in chosen}, chosen, planted.plugin)


def run_classes(pytester, base, classes, chosen, *modules):
    """Run classes of checks, given as lines of source by name, in this process.

    Args:
        chosen: which checks of each, by name.
        modules: what the lines need.

    Returns:
        What each check that failed has said, {name: {check: reason}}.
    """
    said = "".join(
        f"\n\nclass Test_{name}({base}):\n" + "".join(f"    {line}\n" for line in lines)
        for name, lines in classes.items()
    )
    imports = "".join(f"import {module}\n" for module in modules)
    pytester.makepyfile(test_faults=f"{imports}from plugtron.testing import {base}, write_model\n{said}")
    pytester.syspathinsert()
    report = pytester.path / "report.json"
    wanted = [f"test_faults.py::Test_{name}::test_{check}" for name in chosen for check in sorted(chosen[name])]
    pytester.runpytest_inprocess("-q", "-p", "no:cacheprovider", "--plugtron-report", str(report), *wanted)
    found = {name: {} for name in classes}
    for check in json.loads(report.read_text())["checks"]:
        if check["outcome"] == "failed":
            found[check["test"].split("::")[1].removeprefix("Test_")][check["check"]] = check["reason"]
    return found


def assert_caught(found, expected):
    """Compare with a table {component: (check, words)}; a component without a fault passes everything."""
    wrong = []
    for component, fault in expected.items():
        if fault is None:
            wrong += [f"{component}: {check}: {reason}" for check, reason in found[component].items()]
            continue
        reason = found[component].get(fault[0], "it passes")
        if fault[1] not in reason:
            wrong.append(f"{component}: {fault[0]}: {reason}")
    assert not wrong, "\n".join(wrong)
