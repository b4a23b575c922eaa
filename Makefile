# The front door. `make help` lists what there is; the README tells how to begin.
SHELL := /bin/bash
.DEFAULT_GOAL := help

BUILD := build
GUEST_TARGET := x86_64-unknown-linux-gnu
GUEST_INIT := target/guest-build/$(GUEST_TARGET)/guest/pe-guest-init
CARGO_QUIET ?=

## demo      Start everything with real VMs, run a C program, print its result and the address
##           (ONCE=1 stops after the job; PORT=n chooses another port than 8080)
.PHONY: demo
demo: assets
	@scripts/demo.sh

## test      Build all, then every test: unit, property, and real jobs in real VMs
.PHONY: test
test: assets
	@scripts/test.sh

## dist      Build what is installed: pe-lb, pe-worker and pe in target/dist, optimized as a whole
##           (some minutes; a cached result takes about a tenth less time than with `make demo`'s build)
.PHONY: dist
dist:
	cargo build --profile dist --locked -p pe-lb -p pe-worker -p pe-cli --bins

## test-nested  The same jobs on cloud-hypervisor, in an emulated machine with a working KVM
##           (needs the program: $CLOUD_HYPERVISOR, on PATH, or by `make cloud-hypervisor`)
.PHONY: test-nested
test-nested: assets
	@scripts/step.sh "jobs on cloud-hypervisor, in the nested lab" tests/nested/e2e.sh $(FILTER)
	@scripts/step.sh "the worker's backend, in the nested lab" tests/nested/worker.sh

## cloud-hypervisor  Fetch the program that vm-assets/assets.lock pins, checked against its sha256
.PHONY: cloud-hypervisor
cloud-hypervisor: packages
	@vm-assets/cloud-hypervisor.sh

## bench     Measure all: VM start by zygote and by boot, the phases of a job, and bench-lb
.PHONY: bench
bench: assets
	@scripts/bench.sh
	@scripts/bench-lb.sh

## bench-lb  The load balancer against nginx, HAProxy and Varnish on the same core (5 minutes); writes
##           its table into docs/performance.md (ARGS='--only hits --rounds 3' to look at a part)
.PHONY: bench-lb
bench-lb:
	@scripts/bench-lb.sh $(ARGS)

## check     Format, lints, architecture rules, shell scripts
.PHONY: check
check:
	@vm-assets/packages.sh shellcheck
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo xtask check
	shellcheck -x $$(git ls-files '*.sh' ':!docs/examples' .ci/run tests/nested/guest)
	shellcheck -s sh docs/examples/*.sh

## bench-import  Import of a large image against skopeo, umoci and mkfs.erofs (RUNS=n of each)
.PHONY: bench-import
bench-import:
	@scripts/step.sh "building pe" cargo build --quiet --release --locked -p pe-cli
	@scripts/bench-import.sh $(RUNS)

## bench-nested  Ways to start a VM of cloud-hypervisor, in the nested lab (VMS=n of each)
.PHONY: bench-nested
bench-nested: assets
	@tests/nested/bench.sh

## fuzz      Run every fuzz target for SECONDS_EACH seconds (needs cargo-fuzz)
SECONDS_EACH ?= 30
.PHONY: fuzz
fuzz:
	@scripts/fuzz.sh $(SECONDS_EACH)

## deny      Licences, duplicates and sources of dependencies (needs cargo-deny)
.PHONY: deny
deny:
	cargo deny check licenses bans sources

## web       Build the page into web/dist, for `pe-lb --web web/dist`, if its sources changed (needs Node 20.19)
.PHONY: web
web:
	@scripts/web.sh

## test-web  The page in a browser, against real VMs (TEST=part of a file's name; PE_WEB_PICTURES=1 draws
##           docs/images anew)
.PHONY: test-web
test-web: assets
	@vm-assets/packages.sh chromium
	@scripts/web.sh check
	@cd web && node e2e/run.mjs $(TEST)

## assets    What the demo and the tests need: packages, programs, kernel, initramfs, images
.PHONY: assets
assets: packages programs vm images-small web

.PHONY: packages
packages:
	@vm-assets/packages.sh

.PHONY: programs
programs: packages
	@scripts/step.sh "building programs" cargo build $(CARGO_QUIET) --release --locked --workspace --bins --exclude pe-guest-init --exclude pe-rogue-init --exclude pe-crun-baseline --exclude pe-perf
	@RUSTFLAGS='-C target-feature=+crt-static' scripts/step.sh "building guest init" \
	  cargo build $(CARGO_QUIET) --profile guest --locked -p pe-guest-init -p pe-rogue-init -p pe-crun-baseline --bins \
	  --target $(GUEST_TARGET) --target-dir target/guest-build

.PHONY: vm
vm: programs
	@vm-assets/kernel.sh
	@vm-assets/initramfs.sh $(GUEST_INIT)

## kernel    Optional: a kernel of our own from Debian's sources (minutes); VMs boot faster and smaller
##           with it: pe-worker --vm-assets build/vm/x86_64-own
.PHONY: kernel
kernel: programs
	@vm-assets/kernel/build.sh $(GUEST_INIT)

# What the demo and the tests need: small, or of use to most.
IMAGES_SMALL := busybox gcc python lua sqlite graphviz
.PHONY: images-small
images-small: programs
	@images/build.sh $(IMAGES_SMALL)

## images    All images there are recipes for, built from Debian packages (IMAGES='lua gxx' for some)
.PHONY: images
images: programs
	@images/build.sh $(IMAGES)

## clean     Remove everything that was built
.PHONY: clean
clean:
	rm -rf target $(BUILD)

## help      This list
.PHONY: help
help:
	@sed -n 's/^## \{0,1\}//p' Makefile
