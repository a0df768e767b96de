# The two commands of a first visit are `make demo` and `make test`; `make help` lists the rest.
#
# Everything is built in release mode: the C kernels must be optimised, and one build then serves the tool and the
# tests.

SWIFT ?= swift
PREFIX ?= /usr/local

.DEFAULT_GOAL := help
.PHONY: help bootstrap build demo docs install uninstall release test check format bench parity clean

help: ## Show this list.
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 20

bootstrap: ## Install the system libraries that are missing.
	@Scripts/bootstrap

build: bootstrap ## Build the tool: .build/release/hgnet.
	$(SWIFT) build -c release --product hgnet

demo: build ## Draw pictures, train on them, classify new ones; needs no network once it is built.
	.build/release/hgnet demo --output .build/demo

docs: bootstrap ## Make the documentation of the library as web pages: .build/docs.
	Scripts/docs

install: bootstrap ## Install the tool, the C library and its header: PREFIX=/usr/local, or where you say.
	PREFIX='$(PREFIX)' DESTDIR='$(DESTDIR)' Scripts/install

uninstall: ## Remove what `make install` put there.
	PREFIX='$(PREFIX)' DESTDIR='$(DESTDIR)' Scripts/install --remove

release: bootstrap ## Make files to hand on, the Swift runtime inside, and say what fills them: .build/product.
	Scripts/release

test: bootstrap ## Run all tests.
	$(SWIFT) test -c release --disable-xctest

check: ## Lint the sources and check the import floors.
	Scripts/check

format: ## Format the sources in place.
	Scripts/format

bench: build ## Measure beside the other engines in interleaved rounds (installs them into .build/benchmarks-venv).
	Benchmarks/compare

parity: bootstrap ## Compare with PaddlePaddle, Pillow and OpenCV (installs them into a virtual environment).
	Scripts/parity

clean: ## Remove everything that was built.
	rm -rf .build
