"""`plugins.require`: distributions that must be installed, in a version, and working."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from plugtron.errors import Problem
from plugtron.plugin.manager import PluginManager
from plugtron.spec.load import Source

__all__ = ["check_requirements"]


def check_requirements(source: Source, manager: PluginManager) -> list[Problem]:
    """Say which required distributions are missing, too old, or broken."""
    plugins = source.values.get("plugins")
    required = plugins.get("require") if isinstance(plugins, dict) else None
    problems = []
    for index, text in enumerate(required if isinstance(required, list) else []):
        if not isinstance(text, str):
            continue  # the spec's own model has reported it
        if complaint := _complaint(text, manager):
            problems.append(source.problem(("plugins", "require", index), complaint))
    return problems


def _complaint(text: str, manager: PluginManager) -> str | None:
    # Imported here: few specs require anything, and every check would pay for it.
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name

    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        return f"{text!r} is no requirement; write it as pip takes it, such as 'acme-samplers>=1.2'"
    try:
        installed = version(requirement.name)
    except PackageNotFoundError:
        return f"{requirement.name} is not installed: pip install {text!r}"
    if not requirement.specifier.contains(installed, prereleases=True):
        return f"{requirement.name} {installed} is installed, {requirement.specifier} is required"
    wanted = canonicalize_name(requirement.name)
    own = [plugin for plugin in manager.plugins if canonicalize_name(plugin.distribution) == wanted]
    for plugin in own:
        if plugin.state == "failed":
            return plugin.complaint()
        if plugin.state == "disabled":
            return f"plugin {plugin.title} is required and disabled"
    return None if own else f"{requirement.name} {installed} is installed and holds no plugtron plugin"
