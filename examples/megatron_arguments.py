"""Megatron-LM's command line for static inference: what its flags mean here, and which mean nothing here."""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

__all__ = ["parse"]

#: Flags of training, of kernels and of how Megatron runs, which say nothing about what is computed here: the checkpoint
#: describes its model itself. Those that take a value are marked with =, with several values with *.
_MEANINGLESS = [
    "accumulate-allreduce-grads-in-fp32",
    "add-position-embedding=",
    "add-qkv-bias",
    "apply-layernorm-1p",
    "attention-backend=",
    "attention-dropout=",
    "attention-softmax-in-fp32",
    "auto-detect-ckpt-format",
    "bert-no-binary-head",
    "ckpt-format=",
    "context-parallel-size=",
    "cp-comm-type=",
    "cuda-graph-impl=",
    "cuda-graph-scope=",
    "dist-ckpt-format=",
    "dist-ckpt-strictness=",
    "distributed-backend=",
    "distributed-timeout-minutes=",
    "disable-bias-linear",
    "enable-cuda-graph",
    "end-weight-decay=",
    "eval-interval=",
    "eval-iters=",
    "exit-on-missing-checkpoint",
    "expert-model-parallel-size=",
    "expert-tensor-parallel-size=",
    "ffn-hidden-size=",
    "flash-decode",
    "global-batch-size=",
    "group-query-attention",
    "hidden-dropout=",
    "hidden-size=",
    "incoming-requests-duration=",
    "incoming-requests-per-sec=",
    "incoming-requests-per-step=",
    "inference-ckpt-non-strict",
    "inference-dynamic-batching",
    "inference-dynamic-batching-block-size=",
    "inference-dynamic-batching-buffer-size-gb=",
    "inference-rng-tracker",
    "init-method-std=",
    "kv-channels=",
    "log-interval=",
    "log-throughput",
    "lr=",
    "make-vocab-size-divisible-by=",
    "masked-softmax-fusion",
    "max-position-embeddings=",
    "micro-batch-size=",
    "min-lr=",
    "model-provider=",
    "moe-grouped-gemm",
    "moe-router-topk=",
    "no-bias-dropout-fusion",
    "no-bias-gelu-fusion",
    "no-bias-swiglu-fusion",
    "no-create-attention-mask-in-dataloader",
    "no-gradient-accumulation-fusion",
    "no-load-optim",
    "no-load-rng",
    "no-masked-softmax-fusion",
    "no-mmap-bin-files",
    "no-position-embedding",
    "no-record-throughput",
    "no-rope-fusion",
    "normalization=",
    "num-attention-heads=",
    "num-experts=",
    "num-layers=",
    "num-query-groups=",
    "num-tokens-to-prompt*2",
    "num-workers=",
    "optimizer=",
    "output-every-n-results=",
    "output-request-events",
    "position-embedding-type=",
    "rotary-base=",
    "rotary-percent=",
    "save=",
    "save-interval=",
    "seq-length=",
    "sequence-parallel",
    "skip-prompt-log-probs",
    "squared-relu",
    "swiglu",
    "te-rng-tracker",
    "throughput-check-only",
    "train-iters=",
    "transformer-impl=",
    "untie-embeddings-and-output-weights",
    "use-checkpoint-args",
    "use-cpu-initialization",
    "use-distributed-optimizer",
    "use-flash-attn",
    "use-legacy-static-engine",
    "use-mcore-models",
    "use-mp-args-from-checkpoint-args",
    "use-rope-scaling",
    "use-rotary-position-embeddings",
    "weight-decay=",
]


def parse(arguments: Sequence[str] | None = None, description: str | None = None) -> argparse.Namespace:
    """Read Megatron's flags. Those that mean nothing here are named in a line, those it does not know are refused."""
    parser = argparse.ArgumentParser(description=description, allow_abbrev=False)
    _add_meaningful(parser)
    for word in _MEANINGLESS:
        name, mark, count = re.fullmatch(r"([a-z0-9-]+)([=*]?)(\d*)", word).groups()  # pyright: ignore[reportOptionalMemberAccess] - the list is ours
        options = {"": {"action": "store_true"}, "=": {}, "*": {"nargs": int(count or 0)}}[mark]
        parser.add_argument(f"--{name}", help=argparse.SUPPRESS, default=argparse.SUPPRESS, **options)
    args = parser.parse_args(arguments)
    _check(parser, args)
    given = [name for name in vars(args) if any(_flag(word) == name for word in _MEANINGLESS)]
    if given:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in sorted(given))
        print(f"note: the checkpoint says how the model is made; not used here: {names}", file=sys.stderr)
    return args


def _flag(word: str) -> str:
    return word.rstrip("=*0123456789").replace("-", "_")


def _add_meaningful(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--load", type=Path, required=True, help="a folder that Megatron saved")
    parser.add_argument("--ckpt-step", type=int, help="the iteration, if not the latest")
    parser.add_argument("--tokenizer-type", help="such as GPT2BPETokenizer; by default as the checkpoint says")
    for name in ("vocab-file", "merge-file", "tokenizer-model", "prompt-file", "output-path"):
        parser.add_argument(f"--{name}")
    parser.add_argument(
        "--output-format", choices=["plugtron", "megatron"], default="plugtron", help="of --output-path"
    )
    for name in ("tensor", "pipeline"):
        parser.add_argument(f"--{name}-model-parallel-size", type=int, default=1)
    for name in ("bf16", "fp16"):
        parser.add_argument(f"--{name}", action="store_true", help="what to compute in")
    parser.add_argument("--max-batch-size", "--inference-max-requests", type=int, default=8)
    parser.add_argument("--inference-max-seq-length", type=int, help="prompt and answer together")
    parser.add_argument("--num-tokens-to-generate", type=int, default=30)
    parser.add_argument("--num-tokens-from-file", action="store_true", help="as each line of --prompt-file says")
    parser.add_argument("--prompt-file-num-truncate", type=int, help="read only so many lines of --prompt-file")
    parser.add_argument("--inference-repeat-n", type=int, default=1, help="run all prompts so many times")
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--top_k", "--top-k", type=int, default=1, help="1 is greedy, 0 keeps all")
    parser.add_argument("--top_p", "--top-p", type=float, default=0.0, help="0 keeps all")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--stop-words", nargs="+", default=[], help="texts that end an answer, and are cut off")
    parser.add_argument("--termination-id", type=int, help="the token that ends an answer; by default the tokenizer's")
    parser.add_argument("--return-log-probs", action="store_true")
    parser.add_argument("--top-n-logprobs", type=int, default=0)
    parser.add_argument("--stream", action="store_true", help="show text as it comes")
    parser.add_argument("--prompts", nargs="+", default=[])


def _check(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    if bool(args.prompts) == bool(args.prompt_file):
        parser.error("give --prompts or --prompt-file, one of them")
    if args.num_tokens_from_file and not args.prompt_file:
        parser.error("--num-tokens-from-file needs --prompt-file")
    if args.bf16 and args.fp16:
        parser.error("--bf16 and --fp16: one of them")
    if args.inference_repeat_n < 1:
        parser.error(f"--inference-repeat-n: at least 1 (got {args.inference_repeat_n})")
