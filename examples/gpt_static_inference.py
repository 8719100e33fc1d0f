"""What Megatron trained, generating: initialize, load, choose engine and controller, generate.

    python examples/gpt_static_inference.py --load CHECKPOINT --prompts "1 2 3"
    torchrun --nproc-per-node 2 examples/gpt_static_inference.py --load CHECKPOINT --tensor-model-parallel-size 2 \
        --tokenizer-type GPT2BPETokenizer --vocab-file vocab.json --merge-file merges.txt --prompts "Hello" "Once"
"""

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path

from megatron_arguments import parse

from plugtron import InferenceRequest, Kind, Options, PluginManager, PlugtronError, SamplingParams
from plugtron.assembly import choose_dtype
from plugtron.checkpoint import MegatronReader
from plugtron.contracts import Parts, Runtime
from plugtron.spec.model import DEFAULT_CHAIN
from plugtron_controllers.text_generation import SimpleTextGenerationController
from plugtron_engines.options import StaticOptions
from plugtron_engines.static import StaticEngine
from plugtron_wrappers.gpt import GPTWrapper


@dataclass(frozen=True, slots=True)
class Prompt:
    """A text, and how many tokens to generate for it."""

    text: str
    tokens: int


def tokenizer_of(args: argparse.Namespace, manager: PluginManager, parts: Parts) -> Parts:
    """Put a tokenizer to the parts: the one that is asked for, or else the checkpoint's."""
    assert parts.model is not None
    saved = (parts.model.tokenizer or "").removeprefix("megatron/")
    kind = args.tokenizer_type or saved
    if not kind:
        return parts
    offer = manager.registry.find(Kind.TOKENIZER, kind)
    asked = {"vocab_file": args.vocab_file, "merge_file": args.merge_file, "path": args.tokenizer_model}
    options = offer.options_model()
    options = options(**{name: value for name, value in asked.items() if name in options.model_fields})
    return Parts(runtime=parts.runtime, model=parts.model, tokenizer=offer.load().assemble(parts, options))


def sampling(args: argparse.Namespace, tokens: int) -> SamplingParams:
    """Megatron's words for how tokens are chosen: top_k 1 is greedy, zeros switch off."""
    wants_log_probs = args.return_log_probs or args.top_n_logprobs
    ends = {"stop_token_ids": [args.termination_id], "ignore_eos": True} if args.termination_id is not None else {}
    return SamplingParams(
        temperature=0 if args.top_k == 1 else args.temperature,
        top_k=args.top_k if args.top_k > 1 else None,
        top_p=args.top_p or None,
        max_tokens=tokens,
        stop=args.stop_words or None,
        logprobs=args.top_n_logprobs if wants_log_probs else None,
        **ends,
    )


def prompts_of(args: argparse.Namespace) -> list[Prompt]:
    """Those of the command line, or the lines of the file: plain text, or JSON with a "text" in it."""
    if args.prompts:
        return [Prompt(text, args.num_tokens_to_generate) for text in args.prompts]
    lines = [line for line in Path(args.prompt_file).read_text(encoding="utf-8").splitlines() if line.strip()]
    return [prompt_of(line, args) for line in lines[: args.prompt_file_num_truncate]]


def prompt_of(line: str, args: argparse.Namespace) -> Prompt:
    """Read a line. With --num-tokens-from-file it says how much to generate, in Megatron's words or ours."""
    values = json.loads(line) if line.startswith("{") else {"text": line}
    tokens = args.num_tokens_to_generate
    if args.num_tokens_from_file:
        names = ("chatgpt_output_token_length", "num_tokens_to_generate")
        tokens = next((values[name] for name in names if name in values), None)
        if not isinstance(tokens, int):
            raise ValueError(f"--num-tokens-from-file: a line of {args.prompt_file} has none of {', '.join(names)}")
    return Prompt(values["text"], tokens)


def record(request: InferenceRequest) -> dict[str, object]:
    """What is reported of a request."""
    log_probs = [{"token": entry.token, "logprob": entry.value, "top": entry.top} for entry in request.log_probs]
    result = {"prompt": request.prompt, "text": request.text, "tokens": request.tokens, "error": request.error}
    return {**result, "logprobs": log_probs} if log_probs else result


def megatron_record(request: InferenceRequest, latency: float) -> dict[str, object]:
    """The same as Megatron writes it: times in seconds, `latency` of all requests together."""
    result: dict[str, object] = {
        "input_prompt": request.prompt,
        "generated_text": request.text,
        "generated_tokens": request.tokens,
        "tpot": request.token_gaps,
        "latency": latency,
    }
    if request.params.logprobs:
        result["generated_top_n_logprobs"] = [dict(entry.top) for entry in request.log_probs]
    if request.params.logprobs is not None:
        result["logprobs"] = [entry.value for entry in request.log_probs]
    return result


def write(args: argparse.Namespace, requests: list[InferenceRequest], latency: float) -> None:
    """Write results to the file that is asked for, or print them."""
    if not args.output_path:
        if not args.stream:
            print(*(json.dumps(record(request)) for request in requests), sep="\n")
        return
    if args.output_format == "megatron":
        results: object = {request.id: megatron_record(request, latency) for request in requests}
    else:
        results = [record(request) for request in requests]
    Path(args.output_path).write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    """Initialize, and run the other three steps."""
    args = parse(description=__doc__.splitlines()[0] if __doc__ else None)
    manager = PluginManager()

    # 1. Initialize: this process's rank, device and groups. torchrun starts as many processes as the flags multiply to.
    path = args.load if args.ckpt_step is None else args.load / f"iter_{args.ckpt_step:07d}"
    checkpoint = MegatronReader(path)
    asked = "bfloat16" if args.bf16 else "float16" if args.fp16 else "auto"
    dtype = choose_dtype(asked, checkpoint.model, "auto")
    tensor, pipeline = args.tensor_model_parallel_size, args.pipeline_model_parallel_size
    runtime = Runtime.create(dtype=dtype, tensor=tensor, pipeline=pipeline)

    try:
        run(args, manager, runtime, checkpoint)
    finally:
        runtime.close()


def run(args: argparse.Namespace, manager: PluginManager, runtime: Runtime, checkpoint: MegatronReader) -> None:
    """Steps two to four."""
    # 2. Load: the wrapper knows which model the checkpoint describes; this rank reads its share for the engine.
    parts = tokenizer_of(args, manager, Parts(runtime=runtime, model=checkpoint.model))
    vocabulary = None if parts.tokenizer is None else parts.tokenizer.vocab_size
    wrapper = GPTWrapper(runtime, checkpoint, vocab_size=vocabulary)

    # 3. Choose: how a step becomes tokens, and which requests run when. Any of them may be a class of your own.
    parts = Parts(runtime=runtime, model=parts.model, tokenizer=parts.tokenizer, wrapper=wrapper)
    chain = [manager.registry.find(Kind.SAMPLER, name).load().assemble(parts, Options()) for name in DEFAULT_CHAIN]
    controller = SimpleTextGenerationController(wrapper, parts.tokenizer, chain)
    options = StaticOptions(max_batch_size=args.max_batch_size, max_sequence_length=args.inference_max_seq_length)
    engine = StaticEngine(controller, options, seed=args.seed)

    # 4. Generate: every rank the same steps; the first one speaks.
    speaks, prompts, requests = runtime.rank == 0, prompts_of(args), []
    for _ in range(args.inference_repeat_n):
        requests = [
            InferenceRequest(prompt=prompt.text, params=sampling(args, prompt.tokens), index=number)
            for number, prompt in enumerate(prompts)
        ]
        begin = time.perf_counter()
        generate(engine, requests, shows=args.stream and speaks)
        if speaks:
            write(args, requests, time.perf_counter() - begin)
    if all(request.error for request in requests):
        raise SystemExit(1)


def generate(engine: StaticEngine, requests: list[InferenceRequest], *, shows: bool) -> None:
    """Run requests to their end. Shown, each one's text runs on; others' lines come in between where several run."""
    for request in requests:
        engine.add_request(request)
    last: int | None = None
    while engine.has_unfinished_requests:
        for output in engine.step() if engine.has_unfinished_requests else ():
            number = output.request.index
            if shows and number != last:
                print(f"{'' if last is None else chr(10)}Request {number}: ", end="")
                if output.request.text == output.text:
                    print(output.request.prompt, end="")
            if shows:
                print(
                    output.text if output.request.error is None else f"error: {output.request.error}",
                    end="",
                    flush=True,
                )
            last = number
    if shows:
        print()


if __name__ == "__main__":
    try:
        main()
    except (PlugtronError, OSError, LookupError, ValueError) as error:
        raise SystemExit(f"error: {error}") from None
