"""What engines say of the time that their steps take."""

import time

import pytest

from plugtron import LLM


@pytest.mark.parametrize("engine", ["static", "dynamic"])
def test_the_parts_of_steps_add_up(random_model, engine):
    with LLM(random_model("llama_untied")[1], dtype="float32", engine=engine) as llm:
        begin = time.perf_counter()
        llm.generate([[1, 2, 3], [4, 5]], {"max_tokens": 8, "ignore_eos": True})
        spent = time.perf_counter() - begin
        stats = llm.session.engine.stats
    assert 0 < stats.step_seconds <= spent
    assert 0 <= stats.start_seconds + stats.finish_seconds <= stats.step_seconds
    assert (stats.start_seconds > 0) == (engine == "dynamic")
