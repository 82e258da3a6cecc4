# `make help` lists the targets. Each one sets up what it needs first.
PYTHON ?=
ARGS ?=
NB ?=
BENCH ?= start ladder numpy_rnn sampling shakespeare

VENV   := .venv
NEWEST := .venv-newest
STAMP  := $(VENV)/.ready
BIN    := $(VENV)/bin
PY     := $(BIN)/python
DEPS   := settings.ini constraints.txt setup.py tools/setup.sh

# One thread, and one notebook after the other. Two threads train models this small hardly faster, and far
# slower wherever something else runs, because each waits for the other by spinning.
THREADS ?= 1
export OMP_NUM_THREADS := $(THREADS)
export MKL_NUM_THREADS := $(THREADS)
export OPENBLAS_NUM_THREADS := $(THREADS)
export PYTHONHASHSEED := 0

.DEFAULT_GOAL := help
.PHONY: help course test test-portable drill docs bench bench-web notebooks readme export constraints test-newest clean setup

help: ## list the targets
	@echo "make TARGET [PYTHON=python3.12]"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1@\2/p' Makefile | awk -F@ '{printf "%-14s %s\n", $$1, $$2}'

setup: $(STAMP) ## make or update .venv

course: $(STAMP) ## train models 1 to 7 and compare them (ARGS="--models 7")
	@echo "Training the ladder: lmfs course $(ARGS)"
	@$(BIN)/lmfs course $(ARGS)

test: $(STAMP) ## everything that must pass before a change lands
	@$(PY) tools/check.py
	@echo "Linting: ruff check"
	@$(BIN)/ruff check -q lmfromscratch tools tests setup.py
	@echo "Running the notebooks' tests: nbdev_test, one worker, threads: $(THREADS)"
	@$(BIN)/nbdev_test --n_workers 1 --timing
	@echo "Running pytest, two files at a time"
	@$(PY) -m pytest -n 2 --dist loadfile

# oneDNN and PyTorch then choose the kernels of a processor without AVX-512, such as most laptops have
SMALL := ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=default

test-portable: $(STAMP) ## what trains, as on a processor without AVX-512: chapters 12 and 16, runs, lmfs
	@$(SMALL) $(PY) -c "import torch; b = torch.backends.cpu.get_cpu_capability(); \
		print('PyTorch with the kernels for', b); assert b == 'DEFAULT', 'the cap has no effect'"
	@echo "Running chapters 12 and 16, and the runs of the engine room"
	@for n in nbs/12_*.ipynb nbs/16_*.ipynb nbs/engine/runs.ipynb; do \
		$(SMALL) $(BIN)/nbdev_test --path $$n --n_workers 1 || exit 1; done
	@echo "Running the tests of training"
	@$(SMALL) $(PY) -m pytest tests/test_runs.py tests/test_verses.py tests/test_cli.py \
		-k "not test_cli or course or verses"

drill: $(STAMP) ## attack runs, files, server and lmfs, for a quarter of an hour (ARGS="kills=5 files=0")
	@echo "Attacking: tests/drill.py $(ARGS)"
	@$(PY) tests/drill.py $(ARGS)

docs: $(STAMP) ## build the site into _docs, check its links, write README.md (ARGS=--draft: in spite of faults)
	@echo "Building the site into _docs"
	@$(PY) tools/docs.py $(ARGS)

bench: $(STAMP) ## time lmfs, the ladder, the NumPy RNN and sampling; train Shakespeare by the clock (BENCH=ladder ARGS="--seeds 5")
	@for b in $(BENCH); do echo "Timing: bench/$$b.py $(ARGS)" && $(PY) bench/$$b.py $(ARGS) || exit 1; done

bench-web: $(STAMP) ## size of the page, time to its first character and its speed, in Chromium
	@echo "Timing: bench/web.py $(ARGS)"
	@$(PY) bench/web.py $(ARGS)

notebooks: $(STAMP) ## run every notebook, or NB="01_data engine/runs", slow cells too, one a core, store the outputs
	@echo "Running notebooks from top to bottom, one a core, threads: $(THREADS)"
	@$(PY) tools/notebooks.py $(NB)

readme: $(STAMP) ## write README.md from index.ipynb
	@$(PY) tools/readme.py

export: $(STAMP) ## write the modules from the notebooks, and clean the notebooks
	@echo "Exporting the notebooks to lmfromscratch/ and cleaning them"
	@$(PY) tools/colab.py
	@$(BIN)/nbdev_export
	@$(BIN)/nbdev_clean

constraints: $(STAMP) ## write constraints.txt for settings.ini (ARGS=--upgrade moves every pin)
	@echo "Resolving constraints.txt"
	@$(PY) tools/constraints.py $(ARGS)

test-newest: $(NEWEST)/.ready ## build the wheel and train with the newest fastai and fastcore, without nbdev
	@echo "Building the wheel and installing it into $(NEWEST)"
	@rm -rf $(NEWEST)/wheel
	@$(NEWEST)/bin/python -m pip -qq --disable-pip-version-check wheel --no-deps -w $(NEWEST)/wheel .
	@$(NEWEST)/bin/python -m pip -qq --disable-pip-version-check install --no-deps --force-reinstall \
		$(NEWEST)/wheel/*.whl
	@echo "Training from the installed wheel: tools/smoke.py"
	@tmp=$$(mktemp -d) && cd $$tmp && $(CURDIR)/$(NEWEST)/bin/python -I $(CURDIR)/tools/smoke.py; \
		rc=$$?; rm -rf $$tmp; exit $$rc

clean: ## remove what can be made again, the environments aside
	rm -rf _proc _docs _site build dist *.egg-info .pytest_cache .ruff_cache
	find lmfromscratch nbs tests tools -name __pycache__ -prune -exec rm -rf {} +

# A finished environment says where it was made: in a moved or copied checkout it is made again.
ifneq ($(shell cat $(STAMP) 2>/dev/null),$(CURDIR))
.PHONY: $(STAMP)
endif
$(STAMP): $(DEPS)
	@sh tools/setup.sh $(VENV) "$(PYTHON)"

ifneq ($(shell cat $(NEWEST)/.ready 2>/dev/null),$(CURDIR))
.PHONY: $(NEWEST)/.ready
endif
$(NEWEST)/.ready: $(DEPS)
	@KIND=newest sh tools/setup.sh $(NEWEST) "$(PYTHON)"
