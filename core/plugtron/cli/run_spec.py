"""Running a spec's prompts from the command line: results as they finish, in order, and an exit code."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from plugtron.assembly.session import Session
from plugtron.assembly.start import assemble
from plugtron.bench.summary import Summary, engine_line
from plugtron.cli.output import Output
from plugtron.cli.prompts import read_prompts
from plugtron.cli.record import check_writable, record_run
from plugtron.cli.stdout import StandardOutput
from plugtron.errors import RequestError
from plugtron.parallel.group import Group
from plugtron.parallel.world import World, launched
from plugtron.plugin.manager import PluginManager
from plugtron.request.request import FinishReason, InferenceRequest, InferenceSequence
from plugtron.spec.model import PromptFile
from plugtron.spec.resolved import ResolvedSpec
from plugtron.utils.progress import progress, spinner

__all__ = ["SEPARATOR", "run_spec", "to_json", "to_text"]

Record = dict[str, Any]
#: What stands between answers that are printed for reading.
SEPARATOR = "----"


def run_spec(
    resolved: ResolvedSpec,
    manager: PluginManager,
    stdout: StandardOutput,
    *,
    write: Callable[[Record], str],
    output: Path | None = None,
    record: Path | None = None,
    spec_file: Path | None = None,
    stream: bool = False,
    stats: bool = False,
    separator: str | None = None,
    world: World | None = None,
) -> int:
    """Run a spec and return the exit code: 0, 1 when every request failed, 130 when interrupted.

    `write` makes a line of a result. With `stream`, text goes to a terminal as it comes; with `stats`, a table of times
    to standard error at the end. `separator` is a line between answers. `record` is a file for what `plugtron replay`
    needs. `spec_file`, and the file of prompts, must not be written over.
    """
    world = world or launched()
    leads = world is None or world.rank == 0
    group = Group(None) if world is None else world.group()
    # All that can be wrong besides the model is found before it is loaded.
    requests = read_prompts(resolved.spec, group)
    inputs = [Path(file) for file in (spec_file, _prompt_file(resolved)) if file is not None]
    sink = group.run_on_all_ranks(lambda: Output(output, stdout, inputs) if leads else None)
    if record is not None:
        group.run_on_all_ranks(lambda: check_writable(record) if leads else None)
    loading = spinner(f"loading {resolved.spec.model.checkpoint}", shown=leads)
    with sink or nullcontext():
        with loading:
            session = assemble(resolved, manager=manager, world=world)
        with session:
            if sink is None:
                for _ in session.run(requests):
                    pass
                return 0
            _mention_chat(session, requests)
            _check_parsers(session, requests)
            sink.begin()  # not before: a model that cannot be loaded must not cost the last run's results
            begin = time.perf_counter()
            one = len(requests) == 1 and requests[0].params.answers == 1
            if stream and one and output is None and stdout.is_terminal:
                interrupted = _stream(session, requests, stdout)
            else:
                interrupted = _batch(
                    session,
                    requests,
                    _separated(sink.write, separator),
                    write,
                    shows=output is not None or not stdout.is_terminal,
                )
            if record is not None:
                record.write_text(record_run(session.resolved, requests).model_dump_json(indent=1))
            if stats:
                _print_stats(session, requests, time.perf_counter() - begin)
    return 130 if interrupted else _exit_code(requests)


def _check_parsers(session: Session, requests: Sequence[InferenceRequest]) -> None:
    """Refuse the requests of a file whose parser is not there; in the spec itself this was checked."""
    for request in requests:
        try:
            session.check_parser(request.chat)
        except RequestError as error:
            request.fail(str(error))


def _mention_chat(session: Session, requests: Sequence[InferenceRequest]) -> None:
    """Say once, on a terminal, that a model which was tuned to chat is only asked to go on with texts."""
    tokenizer = session.parts.tokenizer
    tuned = tokenizer is not None and tokenizer.chat_template is not None
    if tuned and sys.stderr.isatty() and all(isinstance(request.prompt, str) for request in requests):
        click.echo(
            "note: this model is tuned to chat, and goes on with the texts of these prompts; "
            "'plugtron generate --chat', or messages in a spec, ask it for an answer",
            err=True,
        )


def _prompt_file(resolved: ResolvedSpec) -> str | None:
    prompts = resolved.spec.prompts
    return prompts.file if isinstance(prompts, PromptFile) else None


def _separated(sink: Callable[[str], None], separator: str | None) -> Callable[[str], None]:
    """Put a line between results."""
    first = True

    def write(line: str) -> None:
        nonlocal first
        sink(line if first or separator is None else f"{separator}\n{line}")
        first = False

    return write


def _print_stats(session: Session, requests: Sequence[InferenceRequest], seconds: float) -> None:
    click.echo(Summary.of(requests, seconds).table(), err=True)
    if session.engine.stats is not None:
        replica = " of replica 0" if session.parts.runtime.data.size > 1 else ""
        click.echo(f"engine{replica}: {engine_line(session.engine.stats)}", err=True)


def to_json(record: Record) -> str:
    """A result as one line of JSON."""
    line = json.dumps(record, ensure_ascii=False)
    try:
        line.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, from the prompt
        return json.dumps(record)
    return line


def to_text(record: Record) -> str:
    """A result as its text alone."""
    return record["text"] if record["error"] is None else f"error: {record['error']}"


def _batch(
    session: Session,
    requests: Sequence[InferenceRequest],
    sink: Callable[[str], None],
    write: Callable[[Record], str],
    *,
    shows: bool = False,
) -> bool:
    """Run all requests; results are written in order, each as soon as those before it are there.

    With `shows`, a terminal shows how many are done.
    """
    results = _Results(session, requests, sink, write)
    try:
        with progress("generating", total=len(requests), unit="requests", shown=shows) as bar:
            for _ in session.run(requests):
                results.write_finished()
                bar.update(results.written)
    except KeyboardInterrupt:
        # What was finished out of order is not lost.
        results.write_rest()
        return True
    return False


class _Results:
    """Writes requests in order, each once, whatever interrupts it."""

    def __init__(
        self,
        session: Session,
        requests: Sequence[InferenceRequest],
        sink: Callable[[str], None],
        write: Callable[[Record], str],
    ) -> None:
        self._session = session
        self._requests = requests
        self._sink = sink
        self._write = write
        self.written = 0

    def write_finished(self) -> None:
        """Write those that have finished, up to the first that has not."""
        while self.written < len(self._requests) and self._requests[self.written].is_finished:
            self.written += 1
            _write_request(self._session, self._requests[self.written - 1], self._sink, self._write)

    def write_rest(self) -> None:
        """Write those that have finished by themselves."""
        for request in self._requests[self.written :]:
            if request.is_finished and request.finish_reason is not FinishReason.ABORT:
                _write_request(self._session, request, self._sink, self._write)


def _write_request(
    session: Session, request: InferenceRequest, sink: Callable[[str], None], write: Callable[[Record], str]
) -> None:
    for sequence in request.sequences or [None]:
        message = None
        try:
            message = None if sequence is None else session.message(request, sequence.index)
        except RequestError as error:  # of a parser that is broken
            request.fail(str(error))
        record = _record(request, sequence)
        sink(write(record if message is None else {**record, "message": message}))


def _stream(session: Session, requests: Sequence[InferenceRequest], stdout: StandardOutput) -> bool:
    try:
        for output in session.run(requests):
            stdout.write(output.text)
            if output.request.error is not None:
                click.echo(f"error: {output.request.error}", err=True)
    except KeyboardInterrupt:
        stdout.write("\n")
        return True
    stdout.write("\n")
    return False


def _record(request: InferenceRequest, sequence: InferenceSequence | None) -> Record:
    record: Record = {
        "index": request.index,
        "prompt": request.prompt,
        "prompt_tokens": request.prompt_tokens,
        "text": sequence.text if sequence else "",
        "tokens": sequence.tokens if sequence else [],
        "seed": sequence.seed if sequence else None,
        "finish_reason": request.finish_reason if request.error or not sequence else sequence.finish_reason,
        "error": request.error,
        "timings": asdict(request.timings),
        "cached_tokens": sequence.cached_tokens if sequence else 0,
        "preemptions": sequence.preemptions if sequence else 0,
    }
    if sequence and sequence.drafted_tokens:
        record |= {"drafted_tokens": sequence.drafted_tokens, "accepted_tokens": sequence.accepted_tokens}
    if sequence and sequence.stop_reason is not None:
        record["stop_reason"] = sequence.stop_reason
    if request.params.answers > 1 and sequence:
        record["sequence"] = sequence.index
    if request.params.logprobs is not None and sequence:
        record["logprobs"] = [entry.to_dict() for entry in sequence.log_probs]
    if request.params.prompt_logprobs is not None:
        record["prompt_logprobs"] = [entry and entry.to_dict() for entry in request.prompt_log_probs]
    if request.params.pooling is not None:
        record["embedding"] = request.embedding
    if request.params.hidden_layers is not None:
        record["hidden_states"] = request.hidden_states
    return record


def _exit_code(requests: Sequence[InferenceRequest]) -> int:
    failed = sum(request.error is not None for request in requests)
    if failed:
        click.echo(f"{failed} of {len(requests)} requests failed", err=True)
    return 1 if requests and failed == len(requests) else 0
