"""The dynamic engine over ranks: what a clock or a caller decides is the same for all of them."""

import asyncio
import json
from pathlib import Path

import pytest
from support.commands import plugtron

from plugtron import LLM, AsyncEngine, InferenceRequest, SamplingParams
from plugtron.errors import ParallelError

CHECKPOINT = Path(__file__).parents[1] / "data" / "megatron" / "gpt_learned"
PROMPTS = [[5, 6, 7], [100, 9], [3] * 30, [250, 251, 252, 253]]
DRAWN = SamplingParams(temperature=1.0, seed=3, max_tokens=24, ignore_eos=True)


@pytest.fixture(scope="module")
def expected():
    with LLM(CHECKPOINT, dtype="float32") as llm:
        return [request.tokens for request in llm.generate(PROMPTS, DRAWN)]


def test_a_driver_leads_the_ranks(expected):
    async def leave_early(driver):
        async for _ in driver.stream(InferenceRequest(prompt=[9], params=DRAWN)):
            break

    async def main(driver):
        late = InferenceRequest(prompt=[1], params=DRAWN, deadline=1e-6)
        asked = [InferenceRequest(prompt=prompt, params=DRAWN) for prompt in PROMPTS]
        await asyncio.gather(*map(driver.generate, [late, *asked]), *(leave_early(driver) for _ in range(9)))
        return late, [request.tokens for request in asked]

    with (
        LLM(CHECKPOINT, dtype="float32", engine="dynamic", tensor_parallel=2) as llm,
        AsyncEngine(llm.session) as driver,
    ):
        late, found = asyncio.run(main(driver))
        assert (late.finish_reason, late.tokens) == ("deadline", [])
        assert found == expected
        assert asyncio.run(main(driver))[1] == expected


@pytest.mark.parametrize("shape", [{"tensor": 2}, {"pipeline": 2}], ids=str)
def test_deadlines_of_a_job_are_kept_by_its_first_rank(shape, expected, tmp_path):
    lines = [{"tokens": [1], "deadline": 1e-6}, *({"tokens": prompt, "deadline": 900} for prompt in PROMPTS)]
    (tmp_path / "prompts.jsonl").write_text("\n".join(map(json.dumps, lines)))
    spec = {
        "model": {"checkpoint": str(CHECKPOINT), "dtype": "float32"},
        "engine": "dynamic",
        "parallel": shape,
        "sampling": DRAWN.to_flat(),
        "prompts": {"file": str(tmp_path / "prompts.jsonl")},
    }
    (tmp_path / "run.json").write_text(json.dumps(spec))
    done = plugtron("run", tmp_path / "run.json", "--stats", check=0)
    late, *found = map(json.loads, done.stdout.splitlines())
    assert (late["finish_reason"], late["tokens"]) == ("deadline", [])
    assert [record["tokens"] for record in found] == expected
    assert done.stderr.count("5 requests in") == 1
    assert "engine: " in done.stderr


def test_readers_are_told_why_a_rank_is_gone():
    async def main(llm, driver):
        endless = InferenceRequest(prompt=[1], params=SamplingParams(seed=1, ignore_eos=True))
        stream = driver.stream(endless)
        await anext(stream)
        llm.session.parts.runtime.world.followers[0].kill()
        with pytest.raises(ParallelError, match="rank 1 was ended by SIGKILL"):
            async for _ in stream:
                pass
            # It may have come to its end before; whoever comes next is told.
            await driver.generate(InferenceRequest(prompt=[2], params=DRAWN))

    with (
        LLM(CHECKPOINT, dtype="float32", engine="dynamic", tensor_parallel=2) as llm,
        AsyncEngine(llm.session) as driver,
    ):
        asyncio.run(asyncio.wait_for(main(llm, driver), 60))
