"""plugtron bench"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from plugtron.cli.common import DEFAULT_MODEL, plugin_options, set_option, verbose_option
from plugtron.cli.stdout import kept_stdout

if TYPE_CHECKING:
    from plugtron.cli.bench_runner import Load

__all__ = ["bench"]

#: The options that random requests are made from.
_SHAPE = ("requests", "prompt_tokens", "output_tokens", "shared_prefix", "seed")


class _Range(click.ParamType):
    """A number, or the least and greatest of several: 128 or 16-512."""

    name = "tokens"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        least, _, most = str(value).partition("-")
        try:
            found = int(least), int(most or least)
        except ValueError:
            self.fail(f"{value!r} is no number and no range such as 16-512", param, ctx)
        if not 1 <= found[0] <= found[1]:
            self.fail(f"{value!r}: a range goes from its least to its greatest, and from 1 up", param, ctx)
        return found


def _load_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add what says which requests are run, and on what."""
    for option in reversed(
        (
            click.argument("spec", required=False, type=click.Path(path_type=Path)),
            click.option("--model", help=f"Without SPEC: alias, path, or hub id.  [default: {DEFAULT_MODEL}]"),
            click.option(
                "--engine", "engines", multiple=True, help="An engine to measure; given several times, runs alternate."
            ),
            click.option(
                "--requests", type=click.IntRange(1), default=16, show_default=True, help="Number of requests."
            ),
            click.option(
                "--prompt-tokens",
                type=_Range(),
                default="128",
                show_default=True,
                help="Tokens of a prompt, or a range such as 16-512.",
            ),
            click.option(
                "--output-tokens",
                type=_Range(),
                default="64",
                show_default=True,
                help="Tokens of an answer, or a range such as 8-256.",
            ),
            click.option(
                "--shared-prefix",
                type=click.IntRange(0),
                default=0,
                help="Tokens put before every prompt, equal in all.  [default: 0]",
            ),
            click.option(
                "--prompts",
                type=click.Path(path_type=Path),
                help="A file of prompts (JSON lines) instead of random ids.",
            ),
            click.option("--seed", type=int, default=1234, show_default=True, help="Seed of the random requests."),
            click.option(
                "--repeat",
                type=click.IntRange(1),
                default=3,
                show_default=True,
                help="Measured runs, after one warm-up run.",
            ),
            click.option("--json", "as_json", is_flag=True, help="Print the result as JSON."),
            click.option(
                "--profile",
                type=click.Path(path_type=Path),
                help="Write a trace of the first request by stage to this file, for chrome://tracing.",
            ),
            set_option,
            plugin_options,
            verbose_option,
        )
    ):
        function = option(function)
    return function


@click.group()
def bench() -> None:
    """Measure an engine under a load: random prompts of fixed or ragged lengths, greedy, to the last token."""


@bench.command()
@_load_options
def latency(**asked: Any) -> None:
    """One request after the other: time to the first token and between tokens."""
    _run(_load("latency", asked), asked)


@bench.command()
@_load_options
def throughput(**asked: Any) -> None:
    """All requests at once: tokens per second."""
    _run(_load("throughput", asked), asked)


@bench.command()
@click.option(
    "--rate", type=click.FloatRange(0, 1e6, min_open=True), required=True, help="Requests a second, on average."
)
@_load_options
def arrivals(rate: float, **asked: Any) -> None:
    """Requests that arrive at random (a Poisson process): what each of them waits for."""
    if math.isnan(rate):
        raise click.BadParameter("it must be a number", param_hint="--rate")
    _run(_load("arrivals", asked, rate), asked)


@bench.command()
@click.argument("spec", required=False, type=click.Path(path_type=Path))
@click.option("--model", help=f"Without SPEC: alias, path, or hub id.  [default: {DEFAULT_MODEL}]")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@set_option
@plugin_options
@verbose_option
def limit(**asked: Any) -> None:
    """How fast this machine reads and multiplies, and what share of that a model reaches."""
    from plugtron.cli.bench_runner import limits

    with kept_stdout():
        found = limits(**_source(asked))
    click.echo(json.dumps(asdict(found), indent=2) if asked["as_json"] else found.table())


def _source(asked: dict[str, Any]) -> dict[str, Any]:
    """What says which model is measured, and with which plugins."""
    if asked["spec"] is not None and asked["model"] is not None:
        raise click.UsageError("give SPEC or --model, not both")
    return {
        "model": asked["model"] or DEFAULT_MODEL,
        **{name: asked[name] for name in ("spec", "overrides", "choice")},
    }


def _load(mode: str, asked: dict[str, Any], rate: float | None = None) -> Load:
    context = click.get_current_context()
    unused = [name for name in _SHAPE if context.get_parameter_source(name) is ParameterSource.COMMANDLINE]
    if asked["prompts"] is not None and unused:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in unused)
        raise click.UsageError(f"--prompts says which requests there are; {options} would mean nothing")
    from plugtron.bench.workload import Workload
    from plugtron.cli.bench_runner import Load

    workload = Workload(**{name: asked[name] for name in _SHAPE})
    return Load(mode=mode, workload=workload, rate=rate, prompts=asked["prompts"], repeat=asked["repeat"])


def _run(load: Load, asked: dict[str, Any]) -> None:
    from plugtron.cli.bench_runner import measure, report

    with kept_stdout():
        found = measure(load, engines=asked["engines"], profile=asked["profile"], **_source(asked))
    click.echo(json.dumps(found, indent=2) if asked["as_json"] else report(found))
