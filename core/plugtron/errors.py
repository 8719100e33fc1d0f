"""What plugtron raises: one tree, each branch with the exit code that the command line ends with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = [
    "CheckpointError",
    "EngineError",
    "OutputError",
    "OverloadError",
    "ParallelError",
    "PluginError",
    "PlugtronError",
    "Problem",
    "RequestError",
    "SpecError",
    "TokenizerError",
    "suggestion",
]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a spec: where, what, and what would be accepted.

    `place` is the dotted path in the spec; `file` and `line` say where that path stands, as far as known.
    """

    place: str
    message: str
    file: str | None = None
    line: int | None = None

    def __str__(self) -> str:
        where = "" if self.file is None else self.file if self.line is None else f"{self.file}:{self.line}"
        return ": ".join(part for part in (where, self.place, self.message) if part)


class PlugtronError(Exception):
    """The base of all errors that plugtron explains; anything else that escapes is a defect."""

    exit_code = 1


#: How many problems an error's text lists before the rest is counted.
_SHOWN = 200


class SpecError(PlugtronError, ValueError):
    """The spec, an override or an argument asks for something that does not exist or does not fit together."""

    exit_code = 2

    def __init__(self, problems: Iterable[Problem] | str) -> None:
        self.problems = (Problem("", problems),) if isinstance(problems, str) else tuple(problems)
        shown = [str(problem) for problem in self.problems[:_SHOWN]]
        if len(self.problems) > _SHOWN:
            shown.append(f"and {len(self.problems) - _SHOWN} more mistakes")
        super().__init__("\n".join(shown))


class PluginError(PlugtronError):
    """A plugin that this run needs is missing, broken or ambiguous."""

    exit_code = 3


class CheckpointError(PlugtronError, ValueError):
    """A checkpoint cannot be read, or does not hold the model that its configuration describes."""


class TokenizerError(PlugtronError, ValueError):
    """A tokenizer cannot be built from what the checkpoint holds, or is asked for text it cannot give."""


class RequestError(PlugtronError, ValueError):
    """A request asks for something that this engine cannot do; only that request fails.

    `found` are the mistakes one by one, where there are several: the path of the parameter, and what is wrong.
    """

    def __init__(self, message: str = "", *, found: Sequence[tuple[tuple[int | str, ...], str]] = ()) -> None:
        self.found = tuple(found)
        texts = [f"{'.'.join(map(str, place))}: {text}" if place else text for place, text in found]
        super().__init__(message or "; ".join(texts))


class OutputError(PlugtronError):
    """Results cannot be written: a full disk, a reader that has gone."""


class EngineError(PlugtronError):
    """An engine, or the AsyncEngine over it, has been closed or is broken."""


class OverloadError(PlugtronError):
    """A server has as many requests as it takes: the same one may be taken later."""


class ParallelError(PlugtronError, ValueError):
    """The ranks of a job cannot be formed as asked, or do not agree."""


def suggestion(name: str, accepted: Sequence[str]) -> str:
    """Return " Did you mean 'x'?" for the accepted name closest to `name`, or an empty string."""
    # Imported here because every start pays for this module and almost none makes a mistake.
    from difflib import get_close_matches

    close = get_close_matches(name, accepted, n=1, cutoff=0.6)
    return f" Did you mean {close[0]!r}?" if close else ""
