"""The dynamic engine over a small checkpoint."""

from pathlib import Path

from plugtron import LLM, SamplingParams

CHECKPOINT = Path(__file__).parents[1] / "data" / "megatron" / "gpt_learned"
GREEDY = SamplingParams(temperature=0, max_tokens=12, ignore_eos=True)


def dynamic(**options):
    parallel = {key: options.pop(key) for key in list(options) if key.endswith("_parallel")}
    overrides = {f"engine.options.{name}": value for name, value in options.items()}
    return LLM(CHECKPOINT, dtype="float32", engine="dynamic", overrides=overrides, **parallel)
