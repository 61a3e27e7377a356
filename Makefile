# What people type. Each target is one verb of `cargo xtask`, or a script; the work is there, not here.

.DEFAULT_GOAL := help
.PHONY: help demo test shell build lint bench install package dependencies

XTASK = cargo xtask

help:
	@echo 'make demo     govern a real session of an agent on a real kernel, and see what was blocked'
	@echo 'make test     run the tests; ARGS=--fast leaves the VMs out, ARGS=--full runs all scenarios of the release on every kernel'
	@echo 'make shell    a root shell in the test VM, with agentd running'
	@echo 'make build    build agentd and agentctl (target/release)'
	@echo 'make lint     check format and clippy'
	@echo 'make bench    measure what governance costs; figures go to docs/BENCHMARKS.md'
	@echo 'make install  install on this host (DESTDIR=/), as root'
	@echo 'make package  make a deb and an rpm (target/package)'

# Installs what the build needs and this host lacks.
dependencies:
	@packaging/dependencies

demo test shell lint bench: dependencies
	@$(XTASK) $@ $(ARGS)

build: dependencies
	cargo build --release --locked --bins -p agentd -p agentctl -p agentguard-scenarios

install: build
	packaging/install --destdir $(or $(DESTDIR),/)

package: dependencies
	@$(XTASK) package deb $(ARGS)
	@$(XTASK) package rpm $(ARGS)
