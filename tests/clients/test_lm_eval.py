"""lm-evaluation-harness over plugtron and over transformers, the same weights and tasks: the same numbers."""

import json

import pytest
from support import venv

pytestmark = pytest.mark.clients

PACKAGES = ("lm-eval==0.4.13",)
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


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    made = venv.bare(tmp_path_factory.mktemp("lm_eval"))
    if reason := venv.install(made, *PACKAGES):
        pytest.skip(f"lm-eval cannot be had: {reason}")
    return made


def test_two_tasks_and_answers(environment, default_model, tmp_path):
    hugging_face = tmp_path / "model"
    convert = ["-m", "plugtron", "convert", default_model, hugging_face, "--dtype", "float32"]
    environment.run(*convert, check=0)
    for name, lines in (("choices", DOCUMENTS), ("texts", [{"text": text} for text in TEXTS])):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for task in (CHOICE, ROLLING, ANSWER):
        text = task.format(folder=tmp_path)
        (tmp_path / f"{text.split()[1]}.yaml").write_text(text)
    layouts = {
        "folder": (str(hugging_face), {}),
        "file over two ranks": (str(default_model), {"pipeline_parallel": 2}),
        "static": (str(default_model), {"engine": "static"}),
    }
    done = environment.run(
        "-c",
        SCRIPT,
        tmp_path,
        hugging_face,
        json.dumps(layouts),
        check=0,
        HF_HUB_OFFLINE="1",
        HF_DATASETS_CACHE=str(tmp_path),
    )
    found = [json.loads(line[6:]) for line in done.stdout.splitlines() if line.startswith("found ")]
    assert [name for name, *_ in found] == ["transformers", *layouts]
    _, results, samples = found[0]
    for name, other, theirs in found[1:]:
        for task in results:
            for metric, value in results[task].items():
                if isinstance(value, float):
                    assert other[task][metric] == pytest.approx(value, rel=1e-4), (name, task, metric)
        for ours, expected in zip(theirs["local_choice"], samples["local_choice"], strict=True):
            for ((value, greedy),), ((reference, greedily),) in zip(ours, expected, strict=True):
                assert greedy == greedily
                assert float(value) == pytest.approx(float(reference), abs=1e-3)
        assert theirs["local_answer"] == samples["local_answer"], name
