"""What `serve`, `batch` and `chat` share: a model behind the server's endpoints, on one process or several."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from plugtron.errors import PluginError
from plugtron.parallel.environment import is_launched
from plugtron.spec.load import Source, read
from plugtron.spec.overrides import apply, split

if TYPE_CHECKING:
    from plugtron.parallel.world import World
    from plugtron.plugin.manager import PluginManager
    from plugtron.spec.resolved import ResolvedSpec

__all__ = ["check_extra", "checkpoint_name", "event_loop", "lead", "spec_or_model", "with_overrides"]

_SPEC_FILES = (".yaml", ".yml", ".toml", ".json")

#: Seconds after which a thread hands the interpreter on to one that waits for it; a step has some milliseconds.
_TURN_S = 5e-4


def check_extra(verb: str) -> None:
    """See before the model is loaded whether what endpoints are made of is installed.

    Raises:
        PluginError: it is not.
    """
    try:
        import plugtron.serve.server  # noqa: F401 - to see whether it can be
    except ModuleNotFoundError as error:
        raise PluginError(f"{verb} needs {error.name}, which is not installed: pip install 'plugtron[serve]'") from None


def checkpoint_name(resolved: ResolvedSpec) -> str:
    """What the checkpoint is called, wherever it is."""
    checkpoint = resolved.spec.model.checkpoint
    return Path(checkpoint).name if os.path.lexists(checkpoint) else checkpoint


def spec_or_model(named: str) -> Source:
    """A spec file, or a spec that names the model.

    Raises:
        SpecError: the file cannot be read.
    """
    if Path(named).suffix in _SPEC_FILES:
        return read(Path(named))
    return Source(values={"version": 1, "model": {"checkpoint": named}})


def with_overrides(source: Source, overrides: Sequence[str]) -> Source:
    """Apply --set over a spec whose engine, where it names none, is the dynamic one; its options may be set, too."""
    source.values.setdefault("engine", "dynamic")
    return apply(source, split(overrides))


def event_loop() -> asyncio.Runner:
    """Something to run coroutines with: uvloop's loop where that is installed."""
    # The engine's thread comes back from kernels to this loop's interpreter lock: it should not wait for a whole turn.
    sys.setswitchinterval(_TURN_S)
    try:
        from uvloop import new_event_loop
    except ModuleNotFoundError:
        from asyncio import new_event_loop
    return asyncio.Runner(loop_factory=new_event_loop)


def lead(resolved: ResolvedSpec, manager: PluginManager, work: Callable[[World | None], int]) -> int:
    """Do the work, or follow: of torchrun's processes rank 0 leads, and the others do the steps that it says."""
    if not is_launched():
        return work(None)
    from plugtron.assembly.start import assemble, follow_events
    from plugtron.parallel.parent import end_with_parent
    from plugtron.parallel.world import launched

    if "TORCHELASTIC_RUN_ID" in os.environ:  # torchrun's agent is the parent
        end_with_parent()
    world = launched()
    assert world is not None
    world.interactive = True
    if world.rank > 0:
        # The agent hands a signal on to every rank; only the leader, which has requests to finish, knows what it means.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
    try:
        if world.rank == 0:
            return work(world)
        return 0 if follow_events(assemble(resolved, manager=manager, world=world)) else 1
    finally:
        world.close()
