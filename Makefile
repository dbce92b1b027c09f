# The front door. `make demo` and `make test` work on a fresh Debian machine with git, make and a C++
# compiler; everything else is installed by tools/bootstrap.
BUILD ?= build
JOBS ?= $(shell nproc)
PYTHON ?= python3

.PHONY: build demo test bench bench-build fuzz asan tsan format install clean help bootstrap default-model test-data

build: ## Build the program into build/
	@cmake --preset release -B $(BUILD) >/dev/null
	@cmake --build $(BUILD) -j $(JOBS)

EXAMPLES = examples/images
demo: bootstrap build default-model ## Set up; classify, index, search, deduplicate and explain the example photographs
	@mkdir -p demo
	$(BUILD)/cli/ocelli classify $(EXAMPLES)/*.jpg $(EXAMPLES)/*.png --html demo/report.html
	$(BUILD)/cli/ocelli index $(EXAMPLES) -o demo/photos.oci
	$(BUILD)/cli/ocelli search demo/photos.oci $(EXAMPLES)/coffee.png -k 4 --html demo/search.html
	$(BUILD)/cli/ocelli dedup $(EXAMPLES) --report demo/duplicates.html
	$(BUILD)/cli/ocelli explain $(EXAMPLES)/coffee.png --occlusion --html demo/explain.html
	$(BUILD)/cli/ocelli classify $(EXAMPLES)/*.jpg $(EXAMPLES)/*.png -m zero-shot --labels "a cup of coffee,a cat,a rocket,a woman in a space suit,a photographer,galaxies" --html demo/zero-shot.html
	$(BUILD)/cli/ocelli index $(EXAMPLES) -m zero-shot -o demo/sentences.oci
	$(BUILD)/cli/ocelli search demo/sentences.oci "an espresso on a table" -k 3 --html demo/sentences.html
	@echo "Look at report, search, duplicates, explain, zero-shot and sentences.html in demo/"

test: bootstrap build default-model test-data ## Set up and run every test
	ctest --test-dir $(BUILD) -j $(JOBS) --output-on-failure

asan: bootstrap ## The unit and parity tests under AddressSanitizer and UBSan
	@cmake --preset asan >/dev/null
	@cmake --build build-asan -j $(JOBS)
	ctest --test-dir build-asan -j $(JOBS) --output-on-failure -LE slow

TSAN = base tensor data engine
tsan: bootstrap ## Threads, allocator, loader and pipeline under ThreadSanitizer
	@cmake --preset tsan >/dev/null
	@cmake --build build-tsan -j $(JOBS) --target $(TSAN:%=%_test)
	$(foreach shelf,$(TSAN),build-tsan/tests/$(shelf)/$(shelf)_test --gtest_brief=1 &&) true

fuzz: bootstrap ## Fuzz every parser for a while (FUZZ_SECONDS, 60 each)
	tools/fuzz $${FUZZ_SECONDS:-60}

bench-build: bootstrap ## Build the program and the kernel benchmarks
	@cmake --preset release -B $(BUILD) -DOCELLI_BENCH=ON >/dev/null
	@cmake --build $(BUILD) -j $(JOBS) --target ocelli kernels preprocess loader train_step tokenizer

bench: bench-build default-model ## Measure docs/performance.md anew, beside PyTorch, ONNX Runtime and OpenVINO (PYTHON: of the reference environment)
	@if [ -d ../shared/data ]; then ../shared/data/unpack.sh .data imagenet1k-sample coco flickr8k >/dev/null; fi
	$(PYTHON) bench/report.py out/bench

format: ## clang-format over the sources
	git ls-files '*.h' '*.cpp' | xargs clang-format -i

install: build ## Install the program and the library (PREFIX=/usr/local)
	cmake --install $(BUILD) $(if $(PREFIX),--prefix $(PREFIX))

clean:
	rm -rf build build-asan build-tsan build-fuzz demo

bootstrap:
	@tools/bootstrap

default-model:
	@tools/fetch-default-model

test-data:
	@if [ -d ../shared/data ]; then ../shared/data/unpack.sh .data imagenet1k-sample >/dev/null; fi

help:
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'
