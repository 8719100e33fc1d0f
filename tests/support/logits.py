"""The logits of every position of a prompt, which generation itself never asks for."""

from plugtron.contracts.step import ScheduledSequence, StepPlan


def all_logits(llm, prompt):
    """Run one prompt through an LLM's own parts; [T, V] float32 on the CPU."""
    engine = llm.session.engine
    row = ScheduledSequence(
        slot=0, num_computed=0, num_new=len(prompt), tokens=tuple(prompt), reserved=len(prompt), num_logits=len(prompt)
    )
    wrapper = llm.session.parts.wrapper
    batch = wrapper.prep_inference_input(StepPlan(step=0, rows=(row,)), engine.context)
    return wrapper.run_one_forward_step(batch).cpu()
