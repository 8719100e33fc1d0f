"""OpenVINO GenAI's continuous batching, for the CPU benchmark: python openvino_side.py FOLDER."""

# What this file imports is in the peer's own environment alone.
# pyright: reportMissingImports=false

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import openvino
import openvino_genai as genai
from serve import serve


def main() -> None:
    """Load the model and answer."""
    folder = sys.argv[1]
    threads = {"INFERENCE_NUM_THREADS": 2}
    scheduler = genai.SchedulerConfig()
    scheduler.max_num_seqs, scheduler.cache_size, scheduler.max_num_batched_tokens = 16, 2, 2048
    scheduler.enable_prefix_caching = False
    pipeline = genai.ContinuousBatchingPipeline(folder, scheduler, "CPU", threads)

    def generate(prompts: list[list[int]], lengths: list[int]) -> int:
        params = []
        for length in lengths:
            own = genai.GenerationConfig()
            own.max_new_tokens = own.min_new_tokens = length
            own.ignore_eos, own.do_sample = True, False
            params.append(own)
        ids = [openvino.Tensor(np.array([prompt], dtype=np.int64)) for prompt in prompts]
        return sum(len(answer.m_generation_ids[0]) for answer in pipeline.generate(ids, params))

    def follow(text: list[int], file: str | None) -> list[int]:
        """By the model itself: the pipeline gives no logits."""
        size = len(text)
        request = openvino.Core().compile_model(f"{folder}/openvino_model.xml", "CPU", threads).create_infer_request()
        found = request.infer(
            {
                "input_ids": np.array([text], dtype=np.int64),
                "attention_mask": np.ones((1, size), dtype=np.int64),
                "position_ids": np.arange(size, dtype=np.int64)[None],
                "beam_idx": np.zeros(1, dtype=np.int32),
            }
        )
        logits = found[0][0]
        if file is not None:
            np.save(file, logits.astype(np.float32))
        return logits.argmax(-1).tolist()

    weight_bytes = Path(folder, "openvino_model.bin").stat().st_size
    serve(generate, follow, {"openvino-genai": genai.__version__}, weight_bytes)


if __name__ == "__main__":
    main()
