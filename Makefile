# Platform Kernel. `make run` on a fresh machine builds everything and starts it.
# YES=1 answers the questions; ARGS="…" goes to the program or to cargo test.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help run build release payload setup test lint bench soak parts parts-stop container-test notices clean

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: build ## Build all and start it, with demo data, on http://localhost:8080
	@exec dist/platform-kernel $(ARGS)

build: ## One file that holds everything: dist/platform-kernel
	@tools/build.sh

release: ## The same as one static file for any Linux: dist/static/platform-kernel
	@tools/build.sh --static

payload: setup ## The PostgreSQL that the binary carries
	@tools/with-python.sh tools/pack-postgres.sh

setup: ## Look for what building needs; offer to install what is missing
	@tools/setup.sh

test: ## Format, lints, licences, every test; ends with "N passed, N failed"
	@tools/setup.sh --tests
	@tools/test.sh $(ARGS)

lint: setup ## Format, lints and licences alone
	@ONLY=lint tools/test.sh

bench: build ## Each claim of speed, measured beside something real
	@for bench in link cache events log http money; do echo "== $$bench"; cargo bench --quiet --bench $$bench || exit 1; done
	@echo "== images"; cargo bench --quiet -p vips --bench images
	@echo "== flags"; cargo bench --quiet -p flags --bench evaluate
	@# These only start the packed program and watch the clock: no need to compile them for speed.
	@for bench in start sandbox; do echo "== $$bench"; cargo bench --quiet --profile dev --bench $$bench || exit 1; done

soak: ## The tests of faults and of money, many times over
	@tools/setup.sh --tests
	@KILLS=$${KILLS:-20} MONEY_OPERATIONS=$${MONEY_OPERATIONS:-50000} SUITES="faults money" tools/test.sh --nocapture

parts: ## Real Kafka, PostgreSQL, Valkey, Redis, S3 for the tests, on free ports of 127.0.0.1
	@tools/setup.sh --parts
	@tools/parts.sh up

parts-stop: ## End what `make parts` started; the data stay
	@tools/parts.sh stop

container-test: release ## The image FROM scratch and the compose files, run for real by a Docker engine
	@tools/setup.sh --tests
	@tools/container-test.sh
	@tools/compose-test.sh

notices: ## Write the list of crates in NOTICES.md anew
	@python3 tools/notices.py

clean: ## Away with what was built here (the cache in ~/.cache/platform-kernel stays)
	rm -rf dist target
