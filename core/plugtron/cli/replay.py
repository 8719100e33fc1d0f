"""plugtron replay"""

from __future__ import annotations

import json
import sys
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from plugtron.cli.common import PluginChoice, plugin_options, set_option, verbose_option
from plugtron.cli.record import RecordedRequest, changed_versions, read_record
from plugtron.cli.specs import resolve_source
from plugtron.cli.stdout import kept_stdout
from plugtron.spec.load import Source
from plugtron.spec.overrides import apply, split

if TYPE_CHECKING:
    from plugtron.request.request import InferenceRequest

__all__ = ["replay"]


@click.command()
@click.argument("record", type=click.Path(path_type=Path))
@set_option
@plugin_options
@verbose_option
def replay(record: Path, overrides: tuple[str, ...], choice: PluginChoice) -> None:
    """Do the run of RECORD again (`plugtron run SPEC --record RECORD`) and say whether its tokens are the same.

    A JSON line for each request; exit code 1 where any differs. With --set the same requests are run another way.
    """
    recorded = read_record(record)
    for change in changed_versions(recorded.versions):
        click.echo(f"note: {change}", err=True)
    # Replicas share requests out; what each comes to does not depend on it.
    spec = {**recorded.spec, "parallel": {**recorded.spec.get("parallel", {}), "data": 1}}
    with kept_stdout() as stdout:
        resolved, manager = resolve_source(apply(Source(values=spec), split(overrides)), choice)
        from plugtron.assembly import assemble
        from plugtron.request import InferenceRequest, SamplingParams

        requests = [
            InferenceRequest(prompt=each.tokens, params=SamplingParams.from_flat(each.sampling), index=index)
            for index, each in enumerate(recorded.requests)
            if each.error is None
        ]
        with assemble(resolved, manager=manager) as session:
            for _ in session.run(requests):
                pass
        results = [_compared(request, recorded.requests[request.index]) for request in requests]
        for result in results:
            stdout.write(json.dumps(result) + "\n")
    same = sum(result["same"] for result in results)
    click.echo(f"{same} of {len(results)} requests gave the tokens that were recorded", err=True)
    sys.exit(int(same < len(results)))


def _compared(request: InferenceRequest, recorded: RecordedRequest) -> dict[str, Any]:
    """What differs from the record, first of all."""
    result: dict[str, Any] = {"index": request.index, "same": request.error is None, "error": request.error}
    if request.error is not None:
        return result
    for number, (sequence, before) in enumerate(zip(request.sequences, recorded.answers, strict=True)):
        found = sequence.tokens[: len(before)] if recorded.cut_short else sequence.tokens
        if found != before:
            same = (one == other for one, other in zip_longest(found, before))
            place = list(same).index(False)
            tokens = {"recorded": before[place : place + 1], "found": found[place : place + 1]}
            difference = {"answer": number, "position": place, **tokens}
            return {**result, "same": False, **difference}
    return result
