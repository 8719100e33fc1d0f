"""Answering a file of requests: read as there is room for them, each answer written as soon as it is ready."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import click

from plugtron.assembly.session import Session
from plugtron.assembly.start import assemble
from plugtron.bench.summary import engine_line
from plugtron.cli.batch_resume import Done
from plugtron.cli.output import Output
from plugtron.cli.serving import checkpoint_name, event_loop
from plugtron.cli.stdout import StandardOutput
from plugtron.engine.async_engine import AsyncEngine
from plugtron.parallel.world import World
from plugtron.plugin.manager import PluginManager
from plugtron.serve.application import make_application
from plugtron.serve.batches.bounded import engine_batch, work_on
from plugtron.serve.batches.in_process import InProcess
from plugtron.serve.batches.line import BatchLine, LineError, numbered_lines, parse_line
from plugtron.serve.batches.record import answer_record, error_record
from plugtron.serve.build import build_routes
from plugtron.serve.service import SessionService
from plugtron.spec.resolved import ResolvedSpec
from plugtron.utils.progress import Progress, progress, spinner

__all__ = ["BatchRun"]

#: Requests that are read ahead, in batches of the engine: enough that none of its places stays empty.
_AHEAD = 4
#: A line may ask for many answers, each of which counts as a request.
_NO_LIMIT = 2**31


class BatchRun:
    """One run from an input to an output.

    Args:
        ends_chats: as of `SessionService`.
    """

    def __init__(
        self,
        resolved: ResolvedSpec,
        manager: PluginManager,
        stdout: StandardOutput,
        *,
        requests: Path,
        results: Path,
        ends_chats: bool,
    ) -> None:
        assert resolved.spec.serve is not None
        self._resolved = resolved
        self._manager = manager
        self._stdout = stdout
        self._requests = requests
        self._results = results
        self._ends_chats = ends_chats
        self._settings = resolved.spec.serve
        self._counts = _Counts()
        self._failure: Exception | None = None

    def run(self, world: World | None, *, restart: bool, stats: bool) -> int:
        """Run it and return the exit code: 0, 1 when every request failed, 130 when interrupted."""
        with Output(self._results, self._stdout, [self._requests]) as sink:
            done = Done.read(self._results) if sink.is_file and not restart else Done()
            with spinner(f"loading {self._resolved.spec.model.checkpoint}"):
                session = assemble(self._resolved, manager=self._manager, world=world)
            with session:
                sink.keep(done.size)  # not before: a model that cannot be loaded must not cost the last run's results
                begin = time.perf_counter()
                shown = not self._stdout.is_terminal or sink.is_file
                total = _count_lines(self._requests) if shown and sys.stderr.isatty() else 0
                with progress("answering", total=total, unit="requests", shown=shown) as bar, event_loop() as loop:
                    interrupted = loop.run(self._run(session, sink, done, bar))
                if stats:
                    self._counts.show(session, time.perf_counter() - begin)
        return 130 if interrupted else self._exit_code(done)

    async def _run(self, session: Session, sink: Output, done: Done, bar: Progress) -> bool:
        """Answer what is not done; say whether it was interrupted."""
        loop, stopping = asyncio.get_running_loop(), asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stopping.set)

        def failed(error: Exception) -> None:
            self._failure = self._failure or error
            loop.call_soon_threadsafe(stopping.set)

        with AsyncEngine(session, on_failure=failed) as engine:
            work = asyncio.ensure_future(self._answer_all(session, engine, sink, done, bar))
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

    async def _answer_all(self, session: Session, engine: AsyncEngine, sink: Output, done: Done, bar: Progress) -> None:
        names = self._settings.models or [checkpoint_name(self._resolved)]
        service = SessionService(session, engine, models=names, max_requests=_NO_LIMIT, ends_chats=self._ends_chats)
        parts = build_routes(service, self._resolved)
        limit = self._settings.max_body_bytes
        endpoints = InProcess(make_application(parts, max_body_bytes=limit, guarded=False))

        async def answer(item: BatchLine | LineError) -> None:
            if isinstance(item, LineError):
                sink.write(error_record(item.custom_id, item.body()))
                self._counts.add_error()
            else:
                answered = await endpoints.post(item.url, item.body)
                sink.write(answer_record(item.custom_id, answered))
                self._counts.add(answered.body, ok=answered.ok)
            bar.update(done.count + self._counts.lines)

        session.announce()
        interrupted = True
        try:
            with self._requests.open("rb") as file:
                most = _AHEAD * engine_batch(service.settings)
                await work_on(_remaining(numbered_lines(file, limit), done), answer, most=most)
            interrupted = False
        finally:
            for part in parts:
                await part.close()
            session.conclude(finished=service.finished, failed=service.failed, interrupted=interrupted)

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

    def show(self, session: Session, seconds: float) -> None:
        click.echo(
            f"{self.lines} requests in {seconds:.2f} s, {self.failed} failed: {self._prompt_tokens} prompt tokens, "
            f"{self._output_tokens} generated, {self._output_tokens / seconds:.1f} tokens/s",
            err=True,
        )
        if session.engine.stats is not None:
            click.echo(f"engine: {engine_line(session.engine.stats)}", err=True)


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
