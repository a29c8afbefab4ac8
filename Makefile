# Everything that a developer or a newcomer runs. `make help` lists the commands.

# The system's own Python comes first: distributions compile it with optimisations that others may lack, which a server feels.
PYTHON ?= $(firstword $(wildcard /usr/bin/python3.11) $(shell command -v python3.11) $(shell command -v python3))
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
SERVED := -e protos -e core -e plugins/frontend-http -e plugins/transport-lean -e "plugins/backend-onnx[cpu]"
PACKAGES := protos core $(patsubst %/pyproject.toml,%,$(wildcard plugins/*/pyproject.toml))
GPU_TESTS = $(shell grep -rl --include="test_*.py" "mark\.gpu" core plugins tests)
MANIFESTS := pyproject.toml constraints.txt VERSION $(wildcard */pyproject.toml */*/pyproject.toml)

.DEFAULT_GOAL := help
.PHONY: help serve test test-gpu gpu-tests check format bench soak reloads fuzz protos clean

help:  ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1|/' | column -t -s '|'

$(VENV)/made:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check pip==25.3
	touch $@

$(VENV)/served: $(VENV)/made $(MANIFESTS)
	$(PIP) --group build
	$(PIP) --no-build-isolation $(SERVED)
	touch $@

$(VENV)/developed: $(VENV)/served $(MANIFESTS)
	$(PIP) --group dev
	$(PIP) --no-deps silero-vad==6.2.3 # for its files: one net as TorchScript and ONNX
	$(PIP) --no-deps basic-pitch==0.4.0 # for its files: one net as SavedModel and ONNX
	$(PIP) tensorrt-rtx # by itself, since its package has to be built
	$(PIP) --no-build-isolation $(SERVED) -e plugins/frontend-grpc -e plugins/backend-custom -e plugins/cache-local -e plugins/metrics-prometheus -e plugins/trace-opentelemetry -e plugins/backend-pytorch -e "plugins/backend-tensorflow[cpu]" -e "plugins/backend-tensorrt[rtx]" -e plugins/repo-azure -e plugins/repo-gcs -e plugins/repo-s3 -e plugins/scheduler-dynamic -e plugins/scheduler-ensemble -e plugins/scheduler-sequence -e examples/backend-scale -e examples/backend-sklearn
	touch $@

serve: $(VENV)/served  ## set up, serve a trained model, ask it one question, and go on serving
	$(BIN)/python examples/file-types/prepare.py
	$(BIN)/python examples/file-types/demo.py

test: $(VENV)/developed  ## set up and run every test
	$(BIN)/python examples/file-types/prepare.py
	$(BIN)/python -m pytest

$(VENV)/accelerated: $(VENV)/developed
	$(BIN)/python -m pip uninstall --quiet --yes onnxruntime tensorflow-cpu # other builds take their places
	$(PIP) --no-build-isolation -e "plugins/backend-onnx[gpu]" "onnxruntime-gpu[cuda,cudnn]" -e "plugins/backend-tensorflow[gpu]"
	$(PIP) tensorrt # by itself, since its package has to be built
	touch $@

test-gpu:  ## run the tests that need an NVIDIA GPU, in an environment with the frameworks' builds for it
	$(MAKE) VENV=.venv-gpu .venv-gpu/accelerated gpu-tests

gpu-tests: # in whatever the environment has; each file alone, since some frameworks take all of a GPU's memory
	failed=0; for file in $(GPU_TESTS); do $(BIN)/python -m pytest -m gpu $$file || failed=1; done; exit $$failed

check: $(VENV)/developed  ## format, lint, types, import rules, spelling
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	set -e; for package in $(PACKAGES); do $(BIN)/mypy $$package/src; done
	$(BIN)/lint-imports --no-cache
	$(BIN)/codespell

format: $(VENV)/developed  ## rewrite the sources as `make check` wants them
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/developed  ## measure this server beside the reference and a bare handler
	$(BIN)/python -m benchmarks

soak: $(VENV)/developed  ## ten minutes of mixed traffic, reloads and cancellations: everything answered, the memory flat
	$(BIN)/python tests/end_to_end/soak.py --seconds 600

reloads: $(VENV)/developed  ## a thousand loads and unloads of a model of each kind: the memory flat
	$(BIN)/python tests/end_to_end/reloads.py --times 1000

$(VENV)/fuzzed: $(VENV)/developed
	$(PIP) --group fuzz
	touch $@

fuzz: $(VENV)/fuzzed  ## ten minutes of made-up bytes for each reader of the network; needs Linux
	$(BIN)/python plugins/transport-lean/tests/fuzz/fuzz.py --seconds 600

protos: $(VENV)/developed  ## generate the modules of the wire messages anew
	$(BIN)/python protos/generate.py

clean:  ## remove what the commands above have made
	rm -rf $(VENV) .fuzz .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
