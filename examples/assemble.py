"""The parts put together in Python: four lines, no spec file. Any of them may be a class of your own."""

from plugtron import SamplingParams
from plugtron.checkpoint import GGUFReader
from plugtron.hub import fetch
from plugtron.parallel import Runtime
from plugtron.tokenizer.gguf import gguf_tokenizer
from plugtron_controllers.text_generation import SimpleTextGenerationController
from plugtron_engines.options import StaticOptions
from plugtron_engines.static import StaticEngine
from plugtron_samplers.temperature import Temperature
from plugtron_samplers.top_p import TopP
from plugtron_wrappers.llama import LlamaWrapper

path = fetch("smollm2-135m-instruct")

runtime = Runtime.create(dtype="bfloat16")
wrapper = LlamaWrapper(runtime, GGUFReader(path))
controller = SimpleTextGenerationController(
    wrapper, gguf_tokenizer(path), [Temperature(runtime.device), TopP(runtime.device)]
)
engine = StaticEngine(controller, StaticOptions(max_batch_size=4))

prompts = ["The capital of France is", "The three primary colors are"]
for request in engine.generate(prompts, SamplingParams(temperature=0.7, top_p=0.9, max_tokens=24, seed=42)):
    print(f"{request.prompt}{request.text}\n")
