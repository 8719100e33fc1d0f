"""Checking plugins from outside: each is imported, and its components resolved, in processes of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plugtron.diagnosis.finding import Finding, Level
from plugtron.diagnosis.part import Part
from plugtron.plugin.candidate import Candidate
from plugtron.plugin.probe import Call, Probe, probe

__all__ = ["PluginReport", "PluginSource", "check_parts", "check_plugin"]

#: Every plugtron command imports every plugin: what one of them may take.
_SLOW_S = 0.3
#: How much of what was printed a message shows.
_SHOWN = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginSource:
    """Where another process finds a plugin: by its names, once these files have been imported as plugins, too."""

    distribution: str
    name: str
    files: tuple[Path, ...] = ()

    def call(self, function: str, *arguments: Any) -> Call:
        """A function of `inspection` to call for this plugin."""
        named = (self.distribution, self.name, [str(file) for file in self.files])
        return Call(target=f"plugtron.diagnosis.inspection:{function}", arguments=(*named, *arguments))


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginReport:
    """What is wrong with a plugin, how many seconds its import takes, and how many components it offers."""

    name: str
    distribution: str
    version: str
    seconds: float
    components: int
    findings: tuple[Finding, ...]


def check_plugin(candidate: Candidate, files: Sequence[Path] = ()) -> PluginReport:
    """Import a plugin, look at its hooks, and resolve all that its components name."""
    source = PluginSource(distribution=candidate.distribution, name=candidate.name, files=tuple(files))
    imported, inspected = probe([source.call("import_plugin"), source.call("inspect_plugin")])
    found = inspected.value or {
        "error": f"its import: {imported.error or inspected.error}",
        "findings": [],
        "parts": [],
    }
    parts = [Part(**{**each, "light": tuple(each["light"])}) for each in found["parts"]]
    plugin = f"plugin {candidate.name!r} ({candidate.distribution} {candidate.version})"
    findings = [Finding(level="error", place=plugin, message=f"failed at {found['error']}")] if found["error"] else []
    findings += [Finding(level=level, place=plugin, message=text) for level, text in found["findings"]]
    findings += [Finding(level="warning", place=plugin, message=text) for text in _costs(imported, "its import")]
    findings += [
        Finding(level="warning", place=plugin, message=text) for text in _output(inspected, "its registration")
    ]
    findings += [
        Finding(level=level, place=f"{plugin}: {part.title}", message=text)
        for part, level, text in check_parts(source, parts)
    ]
    return PluginReport(
        name=candidate.name,
        distribution=candidate.distribution,
        version=candidate.version,
        seconds=imported.seconds,
        components=len(parts),
        findings=tuple(findings),
    )


def check_parts(source: PluginSource, parts: Sequence[Part]) -> Iterator[tuple[Part, Level, str]]:
    """Resolve targets, options and parameters of components of one plugin, in a process of its own."""
    if not parts:
        return
    light = [(part, target) for part in parts for target in part.light]
    calls: list[str | Call] = [source.call("import_plugin"), *(target for _, target in light)]
    for part in parts:
        calls += [part.target, source.call("inspect_component", part.kind, part.name)]
    _, *probes = probe(calls)
    for (part, target), tried in zip(light, probes, strict=False):
        if tried.imports_torch:
            yield part, "warning", f"{target} imports torch, which a check of a spec has to do without"
    rest = probes[len(light) :]
    for part, imported, inspected in zip(parts, rest[::2], rest[1::2], strict=True):
        for text in _output(imported, f"importing {part.target}"):
            yield part, "warning", text
        if inspected.error is not None:  # the inspection itself reports what a target raises
            yield part, "error", f"target {part.target}: {imported.error or inspected.error}"
        for level, text in inspected.value or ():
            yield part, level, text


def _costs(imported: Probe, what: str) -> Iterator[str]:
    if imported.imports_torch:
        yield f"{what} imports torch, which takes seconds at every command: import it in the modules of targets"
    elif imported.seconds > _SLOW_S:
        yield f"{what} takes {imported.seconds:.1f} s, at every command: import less in the module of the hooks"
    yield from _output(imported, what)


def _output(done: Probe, what: str) -> Iterator[str]:
    for text, stream in ((done.stdout, "standard output"), (done.stderr, "standard error")):
        if text.strip():
            yield f"{what} writes to {stream}: {' '.join(text.split())[:_SHOWN]!r}"
    if done.starts_cuda:
        yield f"{what} starts CUDA, which processes that are forked later cannot use"
