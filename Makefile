# The front door. Meson does the building (meson.build); this finds what is missing first.
#
#   make          build/apiary, build/apiary-bee, build/libapiary.so
#   make demo     three million flights: imported, asked, pruned, travelled through in time
#   make test     everything that takes less than a minute
#   make check    everything; the last line says how many passed and failed
#   make bench    side by side with the duckdb CLI and deltalake
#   make soak     hours: more seeds, longer fuzzing, valgrind
#   make clean    removes build folders; the cache of fetched sources stays (tools/fetch-deps)
#
# CC=clang make ... builds with another compiler (make clean first).

BUILD ?= build
JOBS ?= $(shell nproc)

.PHONY: all build ready demo test check bench soak clean
all: build

ready:
	@tools/install-packages build
	@tools/fetch-deps build venv
	@tools/fetch-deps test || echo "make: .venv has no pyarrow, polars and pytest; everything else works"

$(BUILD)/build.ninja: | ready
	@meson setup $(BUILD)

build: ready $(BUILD)/build.ninja
	@ninja -C $(BUILD) -j$(JOBS)

demo: build
	@tools/fetch-deps demo
	@tools/demo $(BUILD)

test: build
	@tools/quick-test $(BUILD)

check:
	@tools/check

bench: build
	@tools/fetch-deps bench test
	@bench/run $(BUILD)

soak:
	@tools/check --soak

clean:
	rm -rf build build-*
