"""lm-evaluation-harness over plugtron and over transformers, the same weights and tasks: the same numbers."""

import json

import pytest
from support import venv
from support.serving import served

pytestmark = pytest.mark.clients

PACKAGES = ("lm-eval[api]==0.4.13",)
DOCUMENTS = [
    {"question": "What is the capital of France?", "choices": ["Berlin", "Paris", "Rome", "London"], "answer": 1},
    {"question": "How many legs has a spider?", "choices": ["six", "eight", "ten", "four"], "answer": 1},
    {"question": "Which is a fruit?", "choices": ["apple", "stone", "lamp", "cloud"], "answer": 0},
    {"question": "What do bees make?", "choices": ["milk", "wool", "honey", "oil"], "answer": 2},
]
TEXTS = [
    "The quick brown fox jumps over the lazy dog, and the dog does not mind.",
    "In the beginning there was nothing but water, and over the water a wind that came from nowhere. " * 12,
]
CHOICE = """
task: local_choice
dataset_path: json
dataset_kwargs: {{data_files: {folder}/choices.jsonl}}
test_split: train
output_type: multiple_choice
doc_to_text: "Question: {{{{question}}}}\\nAnswer:"
doc_to_choice: choices
doc_to_target: answer
metric_list: [{{metric: acc}}, {{metric: acc_norm}}]
"""
ROLLING = """
task: local_text
dataset_path: json
dataset_kwargs: {{data_files: {folder}/texts.jsonl}}
test_split: train
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{{{text}}}}"
metric_list: [{{metric: word_perplexity}}, {{metric: byte_perplexity}}, {{metric: bits_per_byte}}]
"""
ANSWER = """
task: local_answer
dataset_path: json
dataset_kwargs: {{data_files: {folder}/choices.jsonl}}
test_split: train
output_type: generate_until
doc_to_text: "Question: {{{{question}}}}\\nAnswer:"
doc_to_target: "{{{{choices[answer]}}}}"
generation_kwargs: {{until: ["\\n"], max_gen_toks: 12, do_sample: false, temperature: 0}}
metric_list: [{{metric: exact_match}}]
"""
SCRIPT = """
import json, sys
import lm_eval
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from plugtron.integrations.lm_eval import PlugtronLM

folder, hugging_face, layouts = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
plain = {"pretrained": hugging_face, "dtype": "float32", "device": "cpu", "batch_size": 1, "max_length": 128}
models = {"transformers": lambda: HFLM(**plain)}
for name, (model, options) in layouts.items():
    models[name] = lambda model=model, options=options: PlugtronLM(model, dtype="float32", max_length=128, **options)
for name, make in models.items():
    found = lm_eval.simple_evaluate(
        make(), tasks=["local_choice", "local_text", "local_answer"], task_manager=TaskManager(include_path=folder),
        bootstrap_iters=0, log_samples=True,
    )
    samples = {task: [sample["resps"] for sample in found["samples"][task]] for task in found["samples"]}
    print("found " + json.dumps([name, found["results"], samples]))
"""


#: The harness's own clients of servers, beside transformers.
SERVED = """
import json, sys
import lm_eval
from lm_eval.models.huggingface import HFLM
from lm_eval.models.openai_completions import LocalChatCompletion, LocalCompletionsAPI
from lm_eval.tasks import TaskManager

folder, hugging_face, url = sys.argv[1:]
plain = {"pretrained": hugging_face, "dtype": "float32", "device": "cpu", "batch_size": 1, "max_length": 128}
# Of what they are told, these clients leave two places free in a window of a text.
asked = {"model": "served", "tokenizer": hugging_face, "max_length": 130, "num_concurrent": 4}
batches = {**asked, "num_concurrent": 1, "batch_size": 3}
texts = {**asked, "tokenized_requests": False}
kinds = {
    "transformers": lambda: HFLM(**plain),
    "ids": lambda: LocalCompletionsAPI(base_url=url + "/completions", **asked),
    "ids in batches": lambda: LocalCompletionsAPI(base_url=url + "/completions", **batches),
    "texts": lambda: LocalCompletionsAPI(base_url=url + "/completions", **texts),
}
chats = {
    "chat of transformers": lambda: HFLM(**plain),
    "chat": lambda: LocalChatCompletion(base_url=url + "/chat/completions", **asked),
}
for name, make in {**kinds, **chats}.items():
    tasks = ["local_answer"] if name in chats else ["local_choice", "local_text", "local_answer"]
    found = lm_eval.simple_evaluate(
        make(), tasks=tasks, task_manager=TaskManager(include_path=folder), bootstrap_iters=0, log_samples=True,
        apply_chat_template=name in chats,
    )
    samples = {task: [sample["resps"] for sample in found["samples"][task]] for task in found["samples"]}
    print("found " + json.dumps([name, found["results"], samples]))
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    made = venv.bare(tmp_path_factory.mktemp("lm_eval"))
    if reason := venv.install(made, *PACKAGES):
        pytest.skip(f"lm-eval cannot be had: {reason}")
    return made


@pytest.fixture(scope="module")
def folder(environment, default_model, tmp_path_factory):
    """Tasks, and the default model as transformers reads it."""
    made = tmp_path_factory.mktemp("tasks")
    environment.run("-m", "plugtron", "convert", default_model, made / "model", "--dtype", "float32", check=0)
    for name, lines in (("choices", DOCUMENTS), ("texts", [{"text": text} for text in TEXTS])):
        (made / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for task in (CHOICE, ROLLING, ANSWER):
        text = task.format(folder=made)
        (made / f"{text.split()[1]}.yaml").write_text(text)
    return made


def run(environment, script, folder, *arguments):
    """Run a script; return what each model has found: {name: (results, samples)}."""
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_CACHE": str(folder)}
    done = environment.run("-c", script, folder, folder / "model", *arguments, check=0, **offline)
    found = [json.loads(line[6:]) for line in done.stdout.splitlines() if line.startswith("found ")]
    return {name: (results, samples) for name, results, samples in found}


def check_same(name, found, expected):
    """The same metrics, log probabilities and answers."""
    results, samples = found
    reference, answers = expected
    assert results.keys() == reference.keys()
    for task in reference:
        for metric, value in reference[task].items():
            if isinstance(value, float):
                assert results[task][metric] == pytest.approx(value, rel=1e-4), (name, task, metric)
    for ours, theirs in zip(samples.get("local_choice", ()), answers.get("local_choice", ()), strict=True):
        for ((value, greedy),), ((other, greedily),) in zip(ours, theirs, strict=True):
            assert greedy == greedily
            assert float(value) == pytest.approx(float(other), abs=1e-3)
    assert samples["local_answer"] == answers["local_answer"], name


def test_two_tasks_and_answers(environment, default_model, folder):
    layouts = {
        "folder": (str(folder / "model"), {}),
        "file over two ranks": (str(default_model), {"pipeline_parallel": 2}),
        "static": (str(default_model), {"engine": "static"}),
    }
    found = run(environment, SCRIPT, folder, json.dumps(layouts))
    assert list(found) == ["transformers", *layouts]
    for name in layouts:
        check_same(name, found[name], found["transformers"])


def test_over_http(environment, folder):
    """The harness's local-completions, with log probabilities of prompts, and its local-chat-completions."""
    with served(folder / "model", "--name", "served", "--set", "model.dtype=float32") as server:
        found = run(environment, SERVED, folder, f"{server.url}/v1")
    for name in ("ids", "ids in batches", "texts"):
        check_same(name, found[name], found["transformers"])
    check_same("chat", found["chat"], found["chat of transformers"])
