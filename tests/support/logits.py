"""The logits of every position of a prompt, which generation itself never asks for."""

from plugtron.contracts.step import Row, StepPlan


def all_logits(llm, prompt):
    """Run one prompt through an LLM's own parts; [T, V] float32 on the CPU."""
    engine = llm.assembly.engine
    row = Row(slot=0, start=0, size=len(prompt), tokens=tuple(prompt), room=len(prompt), wants_logits=len(prompt))
    wrapper = llm.assembly.parts.wrapper
    batch = wrapper.prep_inference_input(StepPlan(step=0, rows=(row,)), engine.context)
    return wrapper.run_one_forward_step(batch).cpu()
