#!/usr/bin/env bash
# Builds the crates below tract for 64-bit ARM and runs their tests: as they are on an ARM machine, under QEMU on others. Tests go
# through every instruction set that the processor has, `neon` and `portable`; where they ask for the best, they get `neon` in the
# first round. In the second they get `portable`, which makes a difference for convolutions alone.
#
#     bash tests/arm.sh [--release]       # the tests
#     bash tests/arm.sh cargo COMMAND...  # any command of Cargo's, with the target and what it needs
#     bash tests/arm.sh command [NET...]  # the command with its engine: builds it, which takes tract's time, and runs it
#
# The last verifies these networks, else small ones of fixtures/ (floats, halves and 8-bit codes), and computes each with one, two and
# four threads, which must give the same bytes. NET is a file, or FILE@SHAPE where the input has free dimensions: net.onnx@1,3,224,224
#
# Needs Rust, and on other machines a linker and a C library for ARM, QEMU's user mode, and the standard library of Rust for the
# target: rustup's, or that of Debian's rustc-web. What is missing is installed where apt and the rights to use it are there, and
# named where not. Exits with 77 if it cannot run for want of tools, as test harnesses understand "skipped".
#
# Programs are linked statically: under QEMU 7.2 a dynamically linked one does not come back from joining its second thread.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly TARGET=aarch64-unknown-linux-gnu SKIPPED=77
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/arm CARGO_INCREMENTAL=0 CARGO_TERM_COLOR=never

say() { printf 'arm: %s\n' "$*"; }

# Packages that are not there, for apt; fails where apt cannot be used.
install() {
  if ! command -v apt-get > /dev/null || [[ $(id -u) != 0 ]]; then
    return 1
  fi
  say "installing $*"
  apt-get install -y --no-install-recommends "$@" > /dev/null
}

missing() {
  say "NOT RUN: $1"
  say "needed: aarch64-linux-gnu-gcc with the C library for arm64, qemu-aarch64-static, and Rust's standard library for $TARGET"
  say 'on Debian and Ubuntu: apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static'
  say "with rustup: rustup target add $TARGET"
  exit "$SKIPPED"
}

has_std() { [[ -d $("$1" --print sysroot 2> /dev/null)/lib/rustlib/$TARGET/lib ]]; }

# Debian's Rust, if it has the standard library for ARM and is not older than we allow.
debian_rustc() {
  [[ -x /usr/bin/rustc ]] && has_std /usr/bin/rustc || return 1
  local have want
  have=$(/usr/bin/rustc --version | cut -d ' ' -f 2)
  want=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
  [[ $(printf '%s\n' "$want" "$have" | sort -V | head -n 1) == "$want" ]]
}

# A compiler for ARM, and the C library that programs are linked with statically.
has_linker() {
  command -v aarch64-linux-gnu-gcc > /dev/null && [[ -f $(aarch64-linux-gnu-gcc -print-file-name=libc.a) ]]
}

has_tools() { has_linker && command -v qemu-aarch64-static > /dev/null; }

command -v cargo > /dev/null || missing 'no Rust'
native=$([[ $(uname -m) == aarch64 ]] && echo yes || echo no)
arguments=() emulator=() options=("$@")
if [[ $native == yes ]]; then
  say 'this is a 64-bit ARM machine: no emulator'
else
  tools=(gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static)
  # Lists of packages may be missing, or old: then once more with new ones.
  has_tools || install "${tools[@]}" || { apt-get update > /dev/null 2>&1 && install "${tools[@]}"; } || true
  has_tools || missing 'no linker, no C library or no emulator for ARM, and they could not be installed'
  rustc=${RUSTC:-rustc}
  if has_std "$rustc"; then
    say "Rust: $("$rustc" --version), with its own standard library for $TARGET"
  elif command -v rustup > /dev/null && rustup target add "$TARGET" > /dev/null 2>&1 && has_std "$rustc"; then
    say "Rust: $("$rustc" --version), standard library added by rustup"
  else
    debian_rustc \
      || { dpkg --add-architecture arm64 2> /dev/null && apt-get update > /dev/null 2>&1 \
        && install rustc-web libstd-rust-web-dev:arm64 && debian_rustc; } \
      || missing "no standard library of Rust for $TARGET"
    export RUSTC=/usr/bin/rustc
    say "Rust: $(/usr/bin/rustc --version), Debian's rustc-web"
  fi
  arguments=(--target "$TARGET") emulator=(qemu-aarch64-static)
  export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
  export CC_aarch64_unknown_linux_gnu=aarch64-linux-gnu-gcc
  export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUSTFLAGS='-C target-feature=+crt-static'
  export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER=qemu-aarch64-static
  say "emulator: $(qemu-aarch64-static --version | head -n 1)"
fi

built() { printf '%s/%s/%s' "$CARGO_TARGET_DIR" "$([[ $native == yes ]] || printf '%s/' "$TARGET")$1" "$2"; }

# The command: equal on the nets, and the same numbers for any number of threads.
command_on() {
  cargo build --locked --release "${arguments[@]}" --workspace --bin onnx-swish
  local program=("${emulator[@]}" "$(built release onnx-swish)") net threads model
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
  say "$("${program[@]}" bench --runs 1 fixtures/exporters/silu.op17.onnx 2> /dev/null | tail -n 1)"
  for net in "$@"; do
    model=("${net%@*}")
    [[ $net != *@* ]] || model+=(--shape "${net##*@}")
    "${program[@]}" verify "${model[@]}" > "$scratch/said" 2>&1 || { cat "$scratch/said"; say "NOT EQUAL: $net"; exit 1; }
    # Of a layout that our kernels do not compute, a network would be equal, too, and tract's.
    "${program[@]}" inspect --engine "${model[@]}" > "$scratch/said" 2>&1 || { cat "$scratch/said"; exit 1; }
    ! grep 'channels that come last' "$scratch/said" || { say "LEFT TO TRACT: $net"; exit 1; }
    for threads in 1 2 4; do
      "${program[@]}" run "${model[@]}" --threads "$threads" --output "$scratch/$threads.npz" --force > "$scratch/said" 2>&1 \
        || { cat "$scratch/said"; say "NOT RUN: $net"; exit 1; }
      cmp "$scratch/1.npz" "$scratch/$threads.npz" || { say "OTHER NUMBERS WITH $threads THREADS: $net"; exit 1; }
    done
    say "equal, and the same for 1, 2 and 4 threads: $net"
  done
}

# The processor's own word that it executes a set: what the library takes for the best one when it is asked for.
executes() {
  ONNX_SWISH_ISA=$1 cargo test --locked "${options[@]}" "${arguments[@]}" -p onnx-swish-simd --test environment \
    -- --exact report --ignored --nocapture | grep -o "best=$1 environment=Ok" || { say "NOT THERE: $1"; exit 1; }
}

round() {
  local isa=$1 crates=() skipped=()
  shift
  # Tests that name each set themselves say nothing else the second time, and are the longest under an emulator.
  [[ $isa == neon ]] || skipped=(-- --skip within_the_stated_error --skip every_method_reads_tensors)
  executes "$isa"
  for crate in "$@"; do crates+=(-p "onnx-swish-$crate"); done
  say "tests of $* on neon and portable, $isa where they ask for the best"
  ONNX_SWISH_ISA=$isa cargo test --locked "${options[@]}" "${arguments[@]}" "${crates[@]}" --lib --tests "${skipped[@]}"
}

case ${1:-} in
  cargo)
    shift
    exec cargo "$1" "${arguments[@]}" "${@:2}"
    ;;
  command)
    shift
    nets=("$@")
    [[ $# != 0 ]] || nets=(fixtures/real/ch_ppocr_mobile_v2.0_cls_infer.onnx@1,3,48,192 fixtures/exporters/*.op17.onnx \
      fixtures/half/conv_silu.*.onnx fixtures/quantised/*.QDQ.Q*Int8.onnx)
    command_on "${nets[@]}"
    exit
    ;;
esac
# Of optimised code only: the compiler, and what follows the loop, decide whether 24 sums are in registers through all of the depth.
sums_in_registers() {
  if ! command -v python3 > /dev/null; then
    say 'NOT LOOKED AT, for want of Python: whether the sums of products stay in registers'
    return
  fi
  # What was tested, not another build of it.
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
  cargo test --locked --release "${arguments[@]}" -p onnx-swish-conv --lib --tests --no-run --message-format json > "$scratch/built"
  local crate library
  for crate in simd kernels conv; do
    library=$(grep -o "\"[^\"]*libonnx_swish_$crate-[^\"]*\.rlib\"" "$scratch/built" | head -n 1 | tr -d '"')
    [[ -f $library ]] || { say "NOT THERE: the library of $crate that was tested"; exit 1; }
    ln -s "$library" "$scratch/libonnx_swish_$crate.rlib"
  done
  python3 docs/arm.py "$scratch" --registers
}

# Convolutions by themselves: with the others they would have other features of their dependencies, and be built once more.
round neon simd threads kernels
round neon conv
round portable conv
[[ " ${options[*]} " != *' --release '* ]] || sums_in_registers
say 'passed on neon and on portable'
