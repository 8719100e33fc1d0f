"""An execution, a quantization method, an attention and a verb, each in a file."""

from plugtron import Component, Options, hookimpl


class Int3Options(Options):
    group: int = 8


@hookimpl
def plugtron_executions():
    return [Component(name="frozen_loud", target="frozen_kinds.execution:LoudBackend", summary="eager, and says so")]


@hookimpl
def plugtron_quantizations():
    return [
        Component(
            name="frozen_int3", target="frozen_kinds.int3:Int3", options=Int3Options, summary="3 bits, in small groups"
        ),
        # plugtron has one of this name: a run that does not name the distribution goes on as before.
        Component(name="int8", target="frozen_kinds.int3:Int3", options=Int3Options),
    ]


@hookimpl
def plugtron_attentions():
    return [Component(name="frozen_loop", target="frozen_kinds.attention:LoopAttention", summary="row by row")]


@hookimpl
def plugtron_commands():
    return [Component(name="frozen_count", target="frozen_kinds.command:count", summary="count the tokens of a text")]
