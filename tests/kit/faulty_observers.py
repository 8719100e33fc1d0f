"""Observers that are wrong, each in a way of its own: a plugin each."""

import os
import subprocess
from types import ModuleType

from plugtron import hookimpl
from plugtron_controllers import text_generation
from plugtron_controllers.sampling import draw_greedily


def _right(request):
    str(request.to_dict())


def _needs_an_answer(request):
    request.tokens[0]


def _needs_an_end(run, outcome):
    1 / outcome.finished


def _needs_work(stats):
    1 / (stats["running"] - stats["running"])


def _draw_the_second(candidates):
    return candidates.logits.topk(2, dim=1).indices[:, 1]


def _changes_plugtron(run):
    # An observer is handed copies; plugtron's own names are within its reach all the same.
    text_generation.draw_greedily = _draw_the_second


def _changes_it_back(run, outcome):
    text_generation.draw_greedily = draw_greedily


def _prints_past_python(stats):
    os.write(1, b"step\n")


def _starts_a_program(run):
    subprocess.run(["/bin/echo", "started"], check=True)


def _nothing():
    return []


#: By plugin: the hooks that it has, and what they do.
NAMES = {
    "right": {"plugtron_request_finished": _right},
    "needs_an_answer": {"plugtron_request_finished": _needs_an_answer},
    "needs_an_end": {"plugtron_run_finished": _needs_an_end},
    "needs_work": {"plugtron_step_finished": _needs_work},
    "changes_plugtron": {"plugtron_run_started": _changes_plugtron, "plugtron_run_finished": _changes_it_back},
    "prints_past_python": {"plugtron_step_finished": _prints_past_python},
    "starts_a_program": {"plugtron_run_started": _starts_a_program},
    "observes_nothing": {"plugtron_samplers": _nothing},
}


def plugin(name):
    """The module that has the hooks."""
    module = ModuleType(name)
    for hook, function in NAMES[name].items():
        setattr(module, hook, hookimpl(function))
    return module
