# The commands of the project; `make help` lists them. Builds are cached under ~/.cache/overhand (OVERHAND_CACHE).
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.ONESHELL:

# Spark's line for demo and bench: 3.5 or 4.x.
SPARK ?= 3.5
# How much the demo sorts.
SIZE ?= 1g
# How long the kills or the simulation go on; SEED= decides which come, SEEDS= how many.
TIME ?= 10m

ENV := . tools/env.sh

.PHONY: help setup build native jar dist demo test test-rust test-jar test-spark test-kills test-chaos chaos soak bench bench-micro lint docs licences clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: ## install what a build needs beyond the usual toolchains
	@tools/setup.sh

build: setup ## the overhand binary and the native library
	@$(ENV)
	cargo build --release --locked -p overhand-server -p overhand-jni

native: build ## the native library, where the jar takes it from
	@$(ENV)
	out="$$OVERHAND_CACHE/native/native/linux-$$(tools/arch.sh)"
	mkdir -p "$$out"
	strip --strip-debug -o "$$out/liboverhand_jni.so" "$$CARGO_TARGET_DIR/release/liboverhand_jni.so"

jar: native ## the Spark plugin, native library inside
	@$(ENV)
	mvn -B -q -f shuffle-client/spark/pom.xml package -DskipTests -Dnative.dir="$$OVERHAND_CACHE/native"

dist: jar ## everything that a user needs, in target/dist/overhand
	@$(ENV)
	tools/dist.sh

demo: dist ## sort SIZE (1g) of TeraGen records through Overhand and through Spark's own shuffle
	@$(ENV)
	SIZE=$(SIZE) SPARK=$(SPARK) python3 tools/demo.py

test: lint test-rust test-jar test-spark test-kills ## all tests
	@echo "all tests passed"

test-rust: setup ## unit, property and process tests of the Rust crates
	@$(ENV)
	cargo test --release --locked --workspace

test-jar: native ## unit tests of the Java plugin
	@$(ENV)
	mvn -B -f shuffle-client/spark/pom.xml package -Dnative.dir="$$OVERHAND_CACHE/native"

test-spark: dist ## Spark's own suites and the differential oracle, on both Spark lines
	@$(ENV)
	python3 spark-tests/run.py

test-kills: dist ## real Spark while one worker of three is killed, and two at once
	@$(ENV)
	python3 chaos/run.py --smoke --only kill@writing,two-lost

test-chaos: dist ## a choice of faults under small jobs of real Spark
	@$(ENV)
	python3 chaos/run.py --smoke --spark $(SPARK) $(CHAOS)

chaos: dist ## faults under real Spark for TIME (10m), in an order that SEED decides
	@$(ENV)
	python3 chaos/run.py --time $(TIME) $(if $(SEED),--seed $(SEED)) --spark $(SPARK) $(CHAOS)

soak: setup ## the seeded simulation on all cores for TIME (10m), or SEEDS=1000 of it from SEED; a failing seed says how to replay it
	@$(ENV)
	cargo run --release --locked -p overhand-sim -- --from $(or $(SEED),0) $(if $(SEEDS),--seeds $(SEEDS),--time $(TIME))

bench-micro: setup ## the pieces of a byte's way one by one, beside memcpy, CRC-32 and LZ4 (MICRO=scatter for one)
	@$(ENV)
	cargo bench --locked -p overhand-benches -- $(MICRO)

bench: dist ## paired timings against Spark's own shuffle, into benches/results
	@$(ENV)
	python3 benches/run.py --spark $(SPARK) $(BENCH)

lint: setup ## formatting, clippy, and that the docs name only what exists
	@$(ENV)
	cargo fmt --check
	cargo clippy --release --locked --workspace --all-targets -- -D warnings
	python3 tools/check_docs.py

docs: jar ## write the generated pages of the docs again
	@$(ENV)
	tools/generate_docs.sh

licences: setup ## the licence of every crate is known and allowed
	@$(ENV)
	command -v cargo-deny >/dev/null || cargo install --locked --root "$$OVERHAND_CACHE/tools" cargo-deny
	PATH="$$OVERHAND_CACHE/tools/bin:$$PATH" cargo deny check licenses bans sources

clean: ## remove what was built inside the checkout
	rm -rf target
