"""What Megatron trained, generating: initialise, load, choose engine and controller, generate.

    python examples/gpt_static_inference.py --load CHECKPOINT --prompts "1 2 3"
    torchrun --nproc-per-node 2 examples/gpt_static_inference.py --load CHECKPOINT --tensor-model-parallel-size 2 \
        --tokenizer-type GPT2BPETokenizer --vocab-file vocab.json --merge-file merges.txt --prompts "Hello" "Once"
"""

import argparse
import json
from pathlib import Path

from plugtron import Kind, Options, PlugtronError, SamplingParams
from plugtron.checkpoint.megatron import MegatronReader
from plugtron.contracts import Parts
from plugtron.dtypes import choose_dtype
from plugtron.host import Host
from plugtron.parallel.runtime import Runtime
from plugtron.request import InferenceRequest
from plugtron.spec.model import DEFAULT_CHAIN
from plugtron_controllers.text_generation import SimpleTextGenerationController
from plugtron_engines.options import StaticOptions
from plugtron_engines.static import StaticEngine
from plugtron_wrappers.gpt import GPTWrapper


def arguments() -> argparse.Namespace:
    """Read Megatron's flags."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--load", type=Path, required=True, help="a folder that Megatron saved")
    parser.add_argument("--ckpt-step", type=int, help="the iteration, if not the latest")
    parser.add_argument("--tokenizer-type", help="such as GPT2BPETokenizer; by default as the checkpoint says")
    for name in ("vocab-file", "merge-file", "tokenizer-model", "prompt-file", "output-path"):
        parser.add_argument(f"--{name}")
    for name, default in (("tensor", 1), ("pipeline", 1)):
        parser.add_argument(f"--{name}-model-parallel-size", type=int, default=default)
    parser.add_argument("--max-batch-size", type=int, default=8)
    parser.add_argument("--num-tokens-to-generate", type=int, default=30)
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--top_k", "--top-k", type=int, default=1, help="1 is greedy, 0 keeps all")
    parser.add_argument("--top_p", "--top-p", type=float, default=0.0, help="0 keeps all")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--return-log-probs", action="store_true")
    parser.add_argument("--top-n-logprobs", type=int, default=0)
    parser.add_argument("--stream", action="store_true", help="show text as it comes")
    parser.add_argument("--prompts", nargs="+", default=[])
    args = parser.parse_args()
    if not args.prompts and not args.prompt_file:
        parser.error("give --prompts or --prompt-file")
    return args


def tokenizer_of(args: argparse.Namespace, host: Host, parts: Parts) -> Parts:
    """Put a tokenizer to the parts: the one that is asked for, or else the checkpoint's."""
    assert parts.model is not None
    saved = (parts.model.tokenizer or "").removeprefix("megatron/")
    kind = args.tokenizer_type or saved
    if not kind:
        return parts
    offer = host.registry.find(Kind.TOKENIZER, kind)
    asked = {"vocab_file": args.vocab_file, "merge_file": args.merge_file, "path": args.tokenizer_model}
    options = offer.options_model()
    options = options(**{name: value for name, value in asked.items() if name in options.model_fields})
    return Parts(runtime=parts.runtime, model=parts.model, tokenizer=offer.load().assemble(parts, options))


def sampling(args: argparse.Namespace) -> SamplingParams:
    """Megatron's words for how tokens are chosen: top_k 1 is greedy, zeros switch off."""
    wants_log_probs = args.return_log_probs or args.top_n_logprobs
    return SamplingParams(
        temperature=0 if args.top_k == 1 else args.temperature,
        top_k=args.top_k if args.top_k > 1 else None,
        top_p=args.top_p or None,
        max_tokens=args.num_tokens_to_generate,
        logprobs=args.top_n_logprobs if wants_log_probs else None,
    )


def prompts_of(args: argparse.Namespace) -> list[str]:
    """Those of the command line, then the lines of the file: plain text, or JSON with a "text" in it."""
    lines = Path(args.prompt_file).read_text(encoding="utf-8").splitlines() if args.prompt_file else []
    return [*args.prompts, *(json.loads(line)["text"] if line.startswith("{") else line for line in lines if line)]


def record(request: InferenceRequest) -> dict[str, object]:
    """What is reported of a request."""
    log_probs = [{"token": entry.token, "logprob": entry.value, "top": entry.top} for entry in request.log_probs]
    result = {"prompt": request.prompt, "text": request.text, "tokens": request.tokens, "error": request.error}
    return {**result, "logprobs": log_probs} if log_probs else result


def main() -> None:
    """Initialise, and run the other three steps."""
    args = arguments()
    host = Host()

    # 1. Initialise: this process's rank, device and groups. torchrun starts as many processes as the flags multiply to.
    path = args.load if args.ckpt_step is None else args.load / f"iter_{args.ckpt_step:07d}"
    checkpoint = MegatronReader(path)
    dtype = choose_dtype("auto", checkpoint.model, "auto")
    tensor, pipeline = args.tensor_model_parallel_size, args.pipeline_model_parallel_size
    runtime = Runtime.create(dtype=dtype, tensor=tensor, pipeline=pipeline)

    try:
        run(args, host, runtime, checkpoint)
    finally:
        runtime.close()


def run(args: argparse.Namespace, host: Host, runtime: Runtime, checkpoint: MegatronReader) -> None:
    """Steps two to four."""
    # 2. Load: the wrapper knows which model the checkpoint describes; this rank reads its share for the engine.
    parts = tokenizer_of(args, host, Parts(runtime=runtime, model=checkpoint.model))
    vocabulary = None if parts.tokenizer is None else parts.tokenizer.vocab_size
    wrapper = GPTWrapper(runtime, checkpoint, vocab_size=vocabulary)

    # 3. Choose: how a step becomes tokens, and which requests run when. Any of them may be a class of your own.
    parts = Parts(runtime=runtime, model=parts.model, tokenizer=parts.tokenizer, wrapper=wrapper)
    chain = [host.registry.find(Kind.SAMPLER, name).load().assemble(parts, Options()) for name in DEFAULT_CHAIN]
    controller = SimpleTextGenerationController(wrapper, parts.tokenizer, chain)
    engine = StaticEngine(controller, StaticOptions(max_batch_size=args.max_batch_size), seed=args.seed)

    # 4. Generate: every rank the same steps; the first one speaks.
    params, speaks = sampling(args), runtime.rank == 0
    requests = [InferenceRequest(prompt=text, params=params, index=n) for n, text in enumerate(prompts_of(args))]
    for request in requests:
        engine.add_request(request)
    while engine.has_unfinished_requests:
        for output in engine.step():
            if args.stream and speaks:
                print(f"[{output.request.index}]{output.text}", flush=True)
    if speaks:
        results = [record(request) for request in requests]
        if args.output_path:
            Path(args.output_path).write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
        else:
            print(*map(json.dumps, results), sep="\n")
    if all(request.error for request in requests):
        raise SystemExit(1)


if __name__ == "__main__":
    try:
        main()
    except (PlugtronError, OSError, LookupError, ValueError) as error:
        raise SystemExit(f"error: {error}") from None
