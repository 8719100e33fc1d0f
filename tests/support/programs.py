"""Programs of native steps for tests of how they are kept."""

from plugtron.execution.lowering.program import NativeProgram

#: One that does nothing.
EMPTY = NativeProgram(
    operations=[],
    row_steps=[],
    buffers=[],
    breaks=[],
    result=0,
    result_width=1,
    result_selected=False,
    before_head=None,
    pairs_per_token=0,
    experts=0,
    sources={},
)
