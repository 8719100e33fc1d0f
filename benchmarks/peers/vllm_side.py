"""vLLM on a CPU, for the CPU benchmark: python vllm_side.py FOLDER DTYPE."""

# What this file imports is in the peer's own environment alone.
# pyright: reportMissingImports=false

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ |= {"VLLM_CPU_KVCACHE_SPACE": "2", "OMP_NUM_THREADS": "2", "VLLM_ENABLE_V1_MULTIPROCESSING": "0"}

import vllm
from serve import serve


def main() -> None:
    """Load the model and answer."""
    folder, dtype = sys.argv[1:]
    llm = vllm.LLM(folder, dtype=dtype, enable_prefix_caching=False, max_num_seqs=16, max_model_len=2048)

    def run(prompts: list[list[int]], params: list[vllm.SamplingParams]) -> list[vllm.RequestOutput]:
        return llm.generate([{"prompt_token_ids": prompt} for prompt in prompts], params, use_tqdm=False)

    def generate(prompts: list[list[int]], lengths: list[int]) -> int:
        params = [
            vllm.SamplingParams(temperature=0, ignore_eos=True, max_tokens=length, detokenize=False)
            for length in lengths
        ]
        return sum(len(answer.outputs[0].token_ids) for answer in run(prompts, params))

    def follow(text: list[int], file: str | None) -> list[int]:
        del file  # all logits of a prompt are more than it gives
        params = vllm.SamplingParams(temperature=0, max_tokens=1, prompt_logprobs=1, detokenize=False)
        (answer,) = run([text], [params])
        entries = [entry for entry in answer.prompt_logprobs or () if entry]
        return [next(token for token, found in entry.items() if found.rank == 1) for entry in entries]

    weight_bytes = sum(file.stat().st_size for file in Path(folder).glob("*.safetensors")) // 2  # held in bfloat16
    serve(generate, follow, {"vllm": vllm.__version__}, weight_bytes)


if __name__ == "__main__":
    main()
