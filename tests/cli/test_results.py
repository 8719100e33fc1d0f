"""What the command line makes of results, where a process of its own would not show it."""

import json
from pathlib import Path

from plugtron import LLM, InferenceRequest, SamplingParams
from plugtron.cli import run_spec

CHECKPOINT = Path(__file__).parents[1] / "data" / "megatron" / "gpt_learned"


def test_results_are_written_once_whatever_interrupts():
    """An interrupt that comes while a result is written, and then the rest of those that had finished."""
    with LLM(CHECKPOINT, dtype="float32") as llm:
        requests = [
            InferenceRequest(
                prompt=[index + 1], index=index, params=SamplingParams(temperature=0, max_tokens=2 if index < 4 else 9)
            )
            for index in range(5)
        ]
        lines = []

        def sink(line):
            lines.append(json.loads(line)["index"])
            if len(lines) == 3:
                raise KeyboardInterrupt

        assert run_spec._batch(llm.session, requests, sink, run_spec.to_json)
    assert lines == [0, 1, 2, 3]


def test_results_are_strict_json():
    params = SamplingParams(
        temperature=1, allowed_token_ids=[4, 5], max_tokens=1, logprobs=3, logprobs_mode="processed"
    )
    with LLM(CHECKPOINT, dtype="float32") as llm:
        request = llm.generate([1, 2, 3], params)
    line = run_spec.to_json(run_spec._record(request, request.sequences[0]))

    def refuse(name):
        raise AssertionError(name)

    assert set(json.loads(line, parse_constant=refuse)["logprobs"][0]["top"]) == {"4", "5"}
