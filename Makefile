# What you can do here: `make help`. Each target does its own set-up and says what it installs; logic lives in tools/.
# VENV and BUILD move the virtualenv and the build folders, JOBS limits the processes that run at a time, ARGS goes to
# the drivers of bench and suite.
VENV ?= .venv
BUILD ?= build
SCALE ?= 1
FUZZ_SECONDS ?= 60
export VENV BUILD JOBS SCALE FUZZ_SECONDS TARGETS ARGS
PY := $(VENV)/bin/python
MAKEFLAGS += --no-print-directory

.PHONY: help setup build run run-cluster run-aws test unit tsan cluster-tests fault-tests ray-tests artifacts artifact-tests lint format bench suite fuzz clean

help:   ## Show this list
	@sed -n 's/^\([a-z-]*\): *[a-z ]*## /\1\t/p' Makefile | expand -t 16

setup:  ## Install what is missing: Debian packages, .venv with pinned Python packages
	@tools/setup.sh

build: setup  ## Install terality into .venv (incremental; nothing to do while no source has changed)
	@tools/build.sh

run: build  ## examples/flights.py on the engine and by pandas, compared (SCALE=50 for 16.8 million flights)
	@echo "run: examples/flights.py on terality and on plain pandas, SCALE=$(SCALE)"
	@$(PY) tools/run_example.py

run-cluster: build  ## The example and db-benchmark on a local cluster over a real S3 server, compared with pandas
	@$(PY) tools/run_cluster.py $(ARGS)

run-aws: build  ## The same in an AWS account of stand-ins: deploy, scale from 0 to N and back, destroy (ROWS, SCALE)
	@echo "run-aws: moto and versitygw stand in for AWS; versitygw and a registry are built by Go when not in the cache yet"
	@$(PY) tools/run_aws.py $(ARGS)

test: setup  ## All tests: floors, C units and parity under ASan+UBSan, pytest; ends with `N passed, N failed`
	@$(PY) tools/test_all.py

unit: setup  ## C unit tests only, warnings are errors, no sanitizer (seconds)
	@tools/unit.sh plain

tsan: setup  ## C unit tests under ThreadSanitizer
	@tools/unit.sh tsan

cluster-tests: build ## Tests against further real servers: SeaweedFS, Azurite
	@tools/cluster_tests.sh

fault-tests: build  ## Queries while daemons are killed at each step of a commit and S3 and the network fail
	@tools/fault_tests.sh

ray-tests: build  ## Tests of workers on a Ray cluster of this machine, one node removed in the middle
	@tools/ray_tests.sh

artifacts: setup  ## The worker for AWS, x86-64 and aarch64, into out/artifacts (downloads Debian's arm64 packages)
	@$(PY) tools/artifacts.py $(ARGS)

artifact-tests: build  ## Tests of the artifacts: the aarch64 worker under qemu, the Lambda API of cargo-lambda
	@$(PY) -m pytest -q -m artifacts tests/deploy

lint: setup  ## ruff, clang-format, mypy and the floors; changes nothing
	@tools/lint.sh

format: setup  ## Rewrite C and Python files as `make lint` wants them
	@tools/lint.sh --fix

bench: build  ## terality beside pandas, Polars and DuckDB on the same files
	@tools/optional.sh bench

suite: build  ## pandas' own tests through terality
	@tools/optional.sh tests/suite

fuzz: setup  ## libFuzzer on every target of tests/fuzz, FUZZ_SECONDS each
	@tools/fuzz.sh

clean:  ## Remove builds, .venv and everything else that make has made
	@echo "clean: removing $(BUILD), $(VENV), .stamps, out and caches"
	@rm -rf "$(BUILD)" "$(VENV)" .stamps out .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
