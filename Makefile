# The one command surface of Nexero. CI runs the same targets by the same names.
#
# Variables: PKG chooses packages (make test PKG=./internal/worker), RECORDING a recording, FUZZTIME the time for each
# fuzz target, BENCH and COUNT what `make bench` measures, SEED, ROUNDS and CLUSTER=1 (three NATS servers) a fault run.

SHELL := /bin/sh
MAKEFLAGS += --no-builtin-rules --no-print-directory
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PKG ?= ./...
FUZZTIME ?= 10s
BENCH ?= .
COUNT ?= 6
SEED ?= 1
ROUNDS ?= 20
# Empty without a tag: the program then shows the commit that it was built from.
VERSION ?= $(shell git describe --tags --dirty 2>/dev/null)

# Recipes read these from the environment, quoted, so that a path may hold blanks.
export PKG ONLY RECORD FUZZTIME BENCH COUNT RECORDING SEED ROUNDS CLUSTER

MODULE := github.com/nexero-vr/nexero
BIN := .build/bin
TOOLS := .build/tools
NEXERO ?= $(BIN)/nexero
LDFLAGS := -X $(MODULE)/internal/version.release=$(VERSION)

# One PostgreSQL for all packages of a run; see test/cluster.
WITH_CLUSTER := go run ./test/cluster --

.PHONY: help
help: ## Show this list
	@awk 'BEGIN { FS = ":.*## " } /^[a-z0-9-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: run
run: build ## Run the whole pipeline here, show it with invented tours, until Ctrl-C; a second run keeps the data and adds
	@$(NEXERO) up --demo

.PHONY: build
build: ## Build every program into .build/bin
	@mkdir -p $(BIN)
	go build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN)/ ./cmd/...

.PHONY: test
test: ## Run every test with a real NATS server and a real PostgreSQL (PKG=./internal/worker for one package)
	$(WITH_CLUSTER) go test -race -shuffle=on -timeout 10m $$PKG

.PHONY: check
check: $(TOOLS)/.built ## Format, vet, linters, modules and structure: all that needs no test run
	@scripts/check

.PHONY: docs
docs: ## Write docs/configuration.md and docs/metrics.md anew, from the code
	@$(WITH_CLUSTER) go test -count=1 ./test/docs -update

.PHONY: format
format: $(TOOLS)/.built ## Format the code and apply the fixes of go fix
	@go fix ./...
	@$(TOOLS)/golangci-lint fmt

.PHONY: fuzz
fuzz: ## Fuzz each target for FUZZTIME (10s)
	@scripts/fuzz

.PHONY: mutation
mutation: ## Break the code in known ways and expect the tests to notice (PKG=./internal/worker for one package, ONLY=curated for the best known)
	@$(WITH_CLUSTER) go run ./test/mutants $${ONLY:+-only "$$ONLY"} $${RECORD:+-record "$$RECORD"} $$PKG

.PHONY: e2e
e2e: ## Play a recording through the whole pipeline and check every row: RECORDING=file
	@case $${RECORDING:?make e2e needs RECORDING=file} in /*) ;; *) RECORDING=$$PWD/$$RECORDING ;; esac; \
	$(WITH_CLUSTER) go test -count=1 -v -timeout 20m ./test/e2e -recording="$$RECORDING"

.PHONY: chaos
chaos: ## Break a running pipeline, ROUNDS times as SEED draws, and balance its books (CLUSTER=1: with three NATS servers)
	@mkdir -p $(BIN)
	@go build -o $(BIN)/chaos ./test/chaos
	@$(BIN)/chaos --seed "$$SEED" --rounds "$$ROUNDS" $${CLUSTER:+--cluster}

.PHONY: bench
bench: $(TOOLS)/.built ## Measure, COUNT times (6); BASE=file compares with an earlier result
	@scripts/bench

.PHONY: clean
clean: ## Remove what was built; data stays
	rm -rf $(BIN) $(TOOLS) .build/bench

# Built from tools/go.mod, once, and again when it changes.
$(TOOLS)/.built: tools/go.mod tools/go.sum
	@echo "building the tools of tools/go.mod into $(TOOLS); the first time takes some minutes"
	@mkdir -p $(TOOLS)
	@GOBIN="$(CURDIR)/$(TOOLS)" go -C tools install tool
	@touch $@
