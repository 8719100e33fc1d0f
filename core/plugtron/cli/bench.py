"""plugtron bench"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from plugtron.cli.common import DEFAULT_MODEL, plugin_options, set_option, verbose_option
from plugtron.cli.stdout import kept_stdout

if TYPE_CHECKING:
    from plugtron.bench.replicas.step_cost import StepCost
    from plugtron.cli.bench_runner import Load

__all__ = ["bench"]

#: The options that random requests are made from.
_SHAPE = ("requests", "prompt_tokens", "output_tokens", "shared_prefix", "prefixes", "seed")
#: Options of measured runs alone, and of simulated ones alone.
_MEASURED, _SIMULATED = ("prompts", "repeat", "profile"), ("routings", "cost", "scale_load")
_ROUTINGS = ("round_robin", "least_loaded", "prefix")


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
                "--prefixes",
                type=click.IntRange(1),
                default=1,
                help="How many different ones of those there are; a prompt has one of them.  [default: 1]",
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
                help="Write a trace of the first request by stage, for chrome://tracing, and a picture of it (.svg).",
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
@click.option("--rate", type=click.FloatRange(0, 1e6, min_open=True), help="Requests a second, on average.")
@click.option(
    "--recorded",
    type=click.Path(path_type=Path),
    help="A file of recorded arrivals (JSON lines) instead of random ones.",
)
@click.option(
    "--replicas",
    type=click.IntRange(1),
    multiple=True,
    help="Simulate so many replicas behind a router; given several times, each of these numbers.",
)
@click.option(
    "--routing",
    "routings",
    type=click.Choice(_ROUTINGS),
    multiple=True,
    default=_ROUTINGS,
    help="How requests get to simulated replicas.  [default: each of these ways]",
)
@click.option(
    "--cost",
    metavar="SECONDS",
    help="Of a simulated step, of each row and of each prompt token, such as 0.005,0.0004,0.0001; without it, a short "
    "run of the engine is measured.",
)
@click.option("--scale-load", is_flag=True, help="Rate, requests and prefixes are of each simulated replica.")
@_load_options
def arrivals(
    rate: float | None,
    recorded: Path | None,
    replicas: tuple[int, ...],
    routings: tuple[str, ...],
    cost: str | None,
    scale_load: bool,
    **asked: Any,
) -> None:
    """Requests that arrive at random (a Poisson process), or as recorded: what each of them waits for.

    With --replicas no model is run: replicas schedule and hold memory as the engine does, and steps take what they
    cost.
    """
    if rate is not None and math.isnan(rate):
        raise click.BadParameter("it must be a number", param_hint="--rate")
    if (rate is None) == (recorded is None):
        raise click.UsageError("give --rate or --recorded, one of them")
    _refuse(_MEASURED if replicas else _SIMULATED, "with" if replicas else "without", "--replicas")
    if recorded is not None:
        _refuse((*_SHAPE, "prompts", "scale_load"), "with", "--recorded")
    if len(asked["engines"]) > 1 and replicas:
        raise click.UsageError("several engines are not simulated beside each other; give one --engine")
    given = None if cost is None else _cost(cost)
    load = _load("arrivals", asked, rate, recorded)
    if not replicas:
        _run(load, asked)
        return
    from plugtron.cli.bench_replicas import Fleets, report, simulate
    from plugtron.routing.router import Routing

    ways = [Routing(name) for name in dict.fromkeys(routings)]
    fleets = Fleets(replicas=tuple(dict.fromkeys(replicas)), routings=ways, cost=given, scaled=scale_load)
    with kept_stdout():
        found = simulate(load, fleets, engines=asked["engines"], **_source(asked))
    click.echo(json.dumps(found, indent=2) if asked["as_json"] else report(found))


def _cost(text: str) -> StepCost:
    from plugtron.bench.replicas.step_cost import StepCost

    try:
        return StepCost.parse(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--cost") from None


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


def _given(names: Iterable[str]) -> str:
    """Those of these options that the command line has."""
    context = click.get_current_context()
    flags = {parameter.name: parameter.opts[0] for parameter in context.command.params}
    source = context.get_parameter_source
    return ", ".join(flags[name] for name in names if source(name) is ParameterSource.COMMANDLINE)


def _refuse(names: Iterable[str], how: str, what: str) -> None:
    """Refuse options that would mean nothing with, or without, another."""
    options = _given(names)
    if options:
        raise click.UsageError(f"{how} {what}, {options} would mean nothing")


def _load(mode: str, asked: dict[str, Any], rate: float | None = None, recorded: Path | None = None) -> Load:
    if asked["prompts"] is not None:
        _refuse(_SHAPE, "with", "--prompts")
    from plugtron.bench.recorded import Recording
    from plugtron.bench.workload import Workload

    recording = None if recorded is None else Recording.read(recorded)  # a mistake is said before torch is imported
    from plugtron.cli.bench_runner import Load

    return Load(
        mode=mode,
        workload=Workload(**{name: asked[name] for name in _SHAPE}),
        rate=rate,
        prompts=asked["prompts"],
        repeat=asked["repeat"],
        recording=recording,
    )


def _run(load: Load, asked: dict[str, Any]) -> None:
    from plugtron.cli.bench_runner import measure, report

    with kept_stdout():
        found = measure(load, engines=asked["engines"], profile=asked["profile"], **_source(asked))
    click.echo(json.dumps(found, indent=2) if asked["as_json"] else report(found))
