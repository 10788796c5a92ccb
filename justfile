# Everything that can be run here, by name: `just --list`. Each recipe is one or two commands, to be typed without `just` as well.

# What the CI runs: format, lints, documents, README's commands, every fixture against ONNX Runtime, all tests.
ci:
    .ci/run

# All tests. Rust and nothing else.
test:
    cargo test --workspace

# The tests that take minutes: all 2^32 float32 inputs of each activation, and what else is ignored by default.
test-long:
    cargo test --workspace --release -- --ignored

# Every fixture, plain and fused, against ONNX Runtime itself (fetched from PyPI into target/).
onnxruntime:
    cargo build --release --workspace --bin onnx-swish
    python3 fixtures/against_onnxruntime.py target/release/onnx-swish "$(.ci/onnxruntime)"

# The Python package: builds the wheel, installs it into a fresh environment, runs pytest and the examples there.
python *arguments:
    bash crates/onnx-swish-python/test.sh {{ arguments }}

# The wheel for 64-bit ARM, built on another machine and run once under QEMU (downloads a Python for arm64).
python-aarch64 *arguments:
    bash crates/onnx-swish-python/aarch64.sh {{ arguments }}

# The example of a service under load for so many seconds. A workspace of its own, which builds tract once more.
service seconds="60":
    LOAD_SECONDS={{ seconds }} cargo test --release --manifest-path examples/service/Cargo.toml -- --nocapture

# Rewrites what is blessed: the command's output in the tests and in the README. Read the diff.
bless:
    BLESS=1 cargo test --workspace --test cli

# Reports and the page in Chromium (installs what it needs; see the head of the script).
browser:
    cargo build --release --workspace --bin onnx-swish
    bash tests/browser/run.sh

# The page in target/page, with the check by ONNX Runtime, for any server of static files.
page:
    crates/onnx-swish-web/build.sh target/page --check

# ONNX Runtime's numbers for all fixtures (needs Python; see the head of the script).
expected:
    python fixtures/make_expected.py

# The coefficients of the kernels' formulas, computed anew and compared with those in the source.
fit:
    cargo run --release -p onnx-swish-kernels --example fit

# Speed of the activations, beside tract's kernels.
bench-kernels:
    cargo bench -p onnx-swish-kernels

# Speed of single convolutions.
bench-conv:
    cargo bench -p onnx-swish-conv --bench layers

# Speed of single convolutions of 8-bit codes, beside float ones.
bench-codes:
    cargo bench -p onnx-swish-conv --bench codes

# Whole networks beside ONNX Runtime and OpenVINO; docs/benchmarks/README.md says with which models.
bench-networks *arguments:
    cargo build --release --workspace --examples
    python docs/benchmarks/compare.py --timer target/release/examples/timer {{ arguments }}

# Trained models from public packages: what loads, and whether the numbers are ONNX Runtime's.
models *arguments:
    python docs/models/try_models.py {{ arguments }}

# Time and memory of fusing large files.
files:
    python docs/files.py

# The command as it is published, in target/dist: fat LTO, takes several times as long as a release build.
dist:
    cargo build --profile dist --workspace --bin onnx-swish

# What changed for callers of a crate since a commit (needs cargo-public-api and a nightly Rust).
interface crate="onnx-swish" since="HEAD~1":
    cargo public-api -p {{ crate }} diff {{ since }}..HEAD

# Fuzzes the reading, the analysis and the splice, for so many seconds.
fuzz seconds="600":
    tests/fuzz/run.sh {{ seconds }}

# Breaks one coefficient in a copy, and shows that the step against ONNX Runtime notices. Compiles this project's crates once more.
broken-kernel:
    tests/broken_kernel.sh

# AddressSanitizer over everything with unsafe code (nightly, Linux).
asan:
    RUSTFLAGS=-Zsanitizer=address cargo +nightly test --target x86_64-unknown-linux-gnu --target-dir target/asan --lib --tests \
        -p onnx-swish-simd -p onnx-swish-kernels -p onnx-swish-conv -p onnx-swish-threads

# The pool's hand-over in every order in which threads can meet.
loom:
    RUSTFLAGS='--cfg loom' cargo test --release -p onnx-swish-threads --test loom --target-dir target/loom

# Kernels and convolutions for 64-bit ARM, under an emulator on other machines.
arm:
    bash tests/arm.sh --release

# The whole command on 64-bit ARM: networks verified, and the same numbers for any number of threads. Builds tract.
arm-command *NETS:
    bash tests/arm.sh command {{NETS}}

# Licences, sources and known defects of dependencies (`cargo install cargo-deny`).
deny:
    cargo deny check
