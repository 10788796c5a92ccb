#!/usr/bin/env bash
# Builds the crates below tract for 64-bit ARM and runs their tests: as they are on an ARM machine, under QEMU on others. Tests go
# through every instruction set that the processor has, `neon` and `portable`; where they ask for the best, they get `neon` in the
# first round. In the second they get `portable`, which makes a difference for convolutions alone.
#
#     bash tests/arm.sh [--release]
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

native=$([[ $(uname -m) == aarch64 ]] && echo yes || echo no)
arguments=() options=("$@")
if [[ $native == yes ]]; then
  say 'this is a 64-bit ARM machine: no emulator'
else
  if ! command -v aarch64-linux-gnu-gcc > /dev/null || ! command -v qemu-aarch64-static > /dev/null; then
    { install gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static \
        || { command -v apt-get > /dev/null && apt-get update > /dev/null 2>&1 \
          && install gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static; }; } \
      || missing 'no linker or no emulator for ARM, and they could not be installed'
  fi
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
  arguments=(--target "$TARGET")
  export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
  export CC_aarch64_unknown_linux_gnu=aarch64-linux-gnu-gcc
  export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUSTFLAGS='-C target-feature=+crt-static'
  export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER=qemu-aarch64-static
  say "emulator: $(qemu-aarch64-static --version | head -n 1)"
fi

round() {
  local isa=$1 crates=()
  shift
  for crate in "$@"; do crates+=(-p "onnx-swish-$crate"); done
  say "tests of $* on neon and portable, $isa where they ask for the best"
  ONNX_SWISH_ISA=$isa cargo test --locked "${options[@]}" "${arguments[@]}" "${crates[@]}" --lib --tests
}
round neon simd threads kernels conv
round portable conv
say 'passed on neon and on portable'
