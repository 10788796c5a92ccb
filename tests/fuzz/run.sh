#!/bin/sh
# Fuzzes reading, analysing and rewriting of model files: tests/fuzz/run.sh [SECONDS]
#
# Works with stable Rust and a C++ compiler. The flags are those of cargo-fuzz, less the address sanitizer, which needs
# nightly and has little to find here: the code under test forbids `unsafe`. With cargo-fuzz and nightly instead:
# cargo +nightly fuzz run --fuzz-dir tests/fuzz file tests/seeds
set -eu
cd "$(dirname "$0")"
seconds=${1:-600}
target=$(rustc -vV | sed -n 's/^host: //p')
export RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares"
# What is found new goes to the first folder, what breaks beside it.
mkdir -p corpus artifacts
exec cargo run --release --target "$target" -- corpus ../seeds regressions -artifact_prefix=artifacts/ -timeout=5 -max_len=4096 \
    -rss_limit_mb=2048 -max_total_time="$seconds" -print_final_stats=1
