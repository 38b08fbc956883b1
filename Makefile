# Each target is one script in scripts/; `make run` and `make test` set up all that they need.
.DEFAULT_GOAL := help
.PHONY: help run build test bench kernels lint fuzz setup clean

help: ## show this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1	\2/p' $(MAKEFILE_LIST)

run: ## build the agent and run it; the live view is at http://127.0.0.1:4390/
	@scripts/run $(ARGS)

test: ## run all tests; as root also those that capture real traffic
	@scripts/test $(ARGS)

build: ## build the agent: target/release/remora
	@scripts/build

bench: ## measure against the budgets
	@scripts/bench $(ARGS)

kernels: ## try the BPF programs on other kernels in QEMU; ARGS="bullseye host" for some
	@scripts/kernels $(ARGS)

lint: ## format, clippy, documentation, unused dependencies
	@scripts/lint

fuzz: ## fuzz each target for a minute; ARGS="600 http1" for one target and longer
	@scripts/fuzz $(ARGS)

setup: ## only install what a build needs
	@scripts/setup

clean: ## remove what builds produced
	@rm -rf target
