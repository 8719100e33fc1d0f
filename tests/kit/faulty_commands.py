"""Verbs that are wrong, each in a way of its own."""

import sys
from pathlib import Path

import click

from plugtron import Component, hookimpl

FILE = click.argument("file", type=click.Path(path_type=Path))
COUNT = click.option("--count", default=1, help="How often.")


@click.command
@FILE
@COUNT
def right(file, count):
    """Write a file."""
    if count < 1:
        raise click.BadParameter("count is below 1")
    file.write_text("x" * count)


def function(file):
    """Write a file."""
    file.write_text("x")


@click.command
@FILE
@COUNT
def no_help(file, count):
    file.write_text("x" * count)


@click.command
@FILE
@click.option("--count", default=1)
def option_without_help(file, count):
    """Write a file."""
    file.write_text("x" * count)


@click.command
@FILE
@COUNT
def fails(file, count):
    """Read a file."""
    click.echo(file.read_text() * count)


@click.command
@FILE
@COUNT
def ends_with_three(file, count):
    """Write a file."""
    file.write_text("x" * count)
    sys.exit(3)


@click.command(context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
@FILE
@COUNT
def takes_every_option(file, count):
    """Write a file."""
    file.write_text("x" * count)


@click.command
@FILE
@COUNT
def explains_nothing(file, count):
    """Write a file."""
    if count < 1:
        raise ValueError("count")
    file.write_text("x")


@click.command
@FILE
@COUNT
def hides_errors(file, count):
    """Write a file."""
    if count < 1:
        click.echo("something is wrong", err=True)
        return
    file.write_text("x")


@click.command
@FILE
@COUNT
def says_nothing(file, count):
    """Write a file."""
    if count < 1:
        sys.exit(1)
    file.write_text("x")


NAMES = (
    "right", "function", "no_help", "option_without_help", "fails", "ends_with_three", "takes_every_option",
    "explains_nothing", "hides_errors", "says_nothing",
)  # fmt: skip


@hookimpl
def plugtron_commands():
    return [Component(name=name, target=f"{__name__}:{name}", summary="wrong") for name in NAMES]
