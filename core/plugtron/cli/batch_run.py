"""Answering a file of requests: read as there is room for them, each answer written as soon as it is ready."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import click

from plugtron.cli.batch_resume import Done
from plugtron.cli.batch_source import BatchSource
from plugtron.cli.output import Output
from plugtron.cli.serving import event_loop
from plugtron.cli.stdout import StandardOutput
from plugtron.serve.batches.bounded import work_on
from plugtron.serve.batches.line import BatchLine, LineError, numbered_lines, parse_line
from plugtron.serve.batches.record import answer_record, error_record
from plugtron.utils.progress import Progress, progress, spinner

__all__ = ["BatchRun"]

#: Requests that are read ahead, in batches of the engine: enough that none of its places stays empty.
_AHEAD = 4


class BatchRun:
    """One run from an input to an output.

    Args:
        source: answers; its model is loaded for the run.
    """

    def __init__(self, source: BatchSource, stdout: StandardOutput, *, requests: Path, results: Path) -> None:
        assert source.resolved.spec.serve is not None
        self._source = source
        self._stdout = stdout
        self._requests = requests
        self._results = results
        self._limit = source.resolved.spec.serve.max_body_bytes
        self._counts = _Counts()
        self._failure: Exception | None = None

    def run(self, *, restart: bool, stats: bool) -> int:
        """Run it and return the exit code: 0, 1 when every request failed, 130 when interrupted."""
        with Output(self._results, self._stdout, [self._requests]) as sink, ExitStack() as loaded:
            done = Done.read(self._results) if sink.is_file and not restart else Done()
            with spinner(f"loading {self._source.resolved.spec.model.checkpoint}"):
                loaded.enter_context(self._source)
            sink.keep(done.size)  # not before: a model that cannot be loaded must not cost the last run's results
            begin = time.perf_counter()
            shown = not self._stdout.is_terminal or sink.is_file
            total = _count_lines(self._requests) if shown and sys.stderr.isatty() else 0
            with progress("answering", total=total, unit="requests", shown=shown) as bar, event_loop() as loop:
                interrupted = loop.run(self._run(sink, done, bar))
            if stats:
                self._counts.show(self._source.account(), time.perf_counter() - begin)
        return 130 if interrupted else self._exit_code(done)

    async def _run(self, sink: Output, done: Done, bar: Progress) -> bool:
        """Answer what is not done; say whether it was interrupted."""
        loop, stopping = asyncio.get_running_loop(), asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stopping.set)

        def failed(error: Exception) -> None:
            self._failure = self._failure or error
            loop.call_soon_threadsafe(stopping.set)

        work = asyncio.ensure_future(self._answer_all(failed, sink, done, bar))
        stop = asyncio.ensure_future(stopping.wait())
        await asyncio.wait((work, stop), return_when=asyncio.FIRST_COMPLETED)
        interrupted = not work.done()
        for task in (work, stop):
            task.cancel()
        await asyncio.gather(work, stop, return_exceptions=True)
        if self._failure is not None:
            raise self._failure
        if not work.cancelled():
            work.result()
        return interrupted

    async def _answer_all(self, failed: Callable[[Exception], None], sink: Output, done: Done, bar: Progress) -> None:
        async with self._source.endpoints(failed) as endpoints:

            async def answer(item: BatchLine | LineError) -> None:
                if isinstance(item, LineError):
                    sink.write(error_record(item.custom_id, item.body()))
                    self._counts.add_error()
                else:
                    answered = await endpoints.post(item.url, item.body)
                    sink.write(answer_record(item.custom_id, answered))
                    self._counts.add(answered.body, ok=answered.ok)
                bar.update(done.count + self._counts.lines)

            with self._requests.open("rb") as file:
                lines = _remaining(numbered_lines(file, self._limit), done)
                await work_on(lines, answer, most=_AHEAD * self._source.most)

    def _exit_code(self, done: Done) -> int:
        lines, failed = done.count + self._counts.lines, done.failed + self._counts.failed
        if failed:
            click.echo(f"{failed} of {lines} requests failed", err=True)
        return 1 if lines and failed == lines else 0


class _Counts:
    """What a run has come to."""

    def __init__(self) -> None:
        self.lines = 0
        self.failed = 0
        self._prompt_tokens = 0
        self._output_tokens = 0

    def add_error(self) -> None:
        self.lines += 1
        self.failed += 1

    def add(self, body: str, *, ok: bool) -> None:
        self.lines += 1
        self.failed += not ok
        answer = json.loads(body)
        usage = (answer.get("usage") or {}) if isinstance(answer, dict) else {}
        self._prompt_tokens += usage.get("prompt_tokens", 0)
        self._output_tokens += usage.get("completion_tokens", 0)

    def show(self, account: str | None, seconds: float) -> None:
        click.echo(
            f"{self.lines} requests in {seconds:.2f} s, {self.failed} failed: {self._prompt_tokens} prompt tokens, "
            f"{self._output_tokens} generated, {self._output_tokens / seconds:.1f} tokens/s",
            err=True,
        )
        if account is not None:
            click.echo(account, err=True)


def _remaining(lines: Iterator[tuple[int, bytes | None]], done: Done) -> Iterator[BatchLine | LineError]:
    """Read the lines that are not done; a custom_id that stands twice is an error the second time."""
    seen = set[str]()
    for number, raw in lines:
        if number in done.lines:
            continue
        try:
            line = parse_line(raw, number)
        except LineError as error:
            yield error
            continue
        if line.custom_id in seen:
            message = f"custom_id: {line.custom_id!r} stands in an earlier line"
            yield LineError(number, "duplicate_custom_id", message, line.custom_id)
            continue
        seen.add(line.custom_id)
        if line.custom_id not in done.custom_ids:
            yield line


def _count_lines(file: Path) -> int:
    with file.open("rb") as raw:
        return sum(1 for line in raw if line.strip())
