#!/usr/bin/env bash
# Builds the wheel for 64-bit ARM Linux on another machine, and runs it once under QEMU: imports it, fuses a network, computes it, in
# floats and in 8-bit codes, and compares with the numbers that the fixtures store.
#
#     bash crates/onnx-swish-python/aarch64.sh [--profile dist]
#
# Needs Rust with the target's standard library (rustup target add aarch64-unknown-linux-gnu), Python 3.10 or newer, PyPI (maturin, Zig as
# the linker, NumPy), and to run it Debian 12's Python for arm64 and qemu-user-static, which apt downloads; nothing is installed but into
# target/python/aarch64. Exits with 77 where these cannot be had.
set -euo pipefail
cd "$(dirname "$0")/../.."

readonly SKIPPED=77 CRATE=crates/onnx-swish-python TARGET=aarch64-unknown-linux-gnu
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
readonly target work=$target/python/aarch64
export CARGO_TERM_COLOR=never CARGO_INCREMENTAL=0 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore

say() { printf 'aarch64: %s\n' "$*"; }
missing() { say "NOT RUN: $1"; exit "$SKIPPED"; }

mkdir -p "$work"
if ! "$work/tools/bin/maturin" --version > /dev/null 2>&1; then
  say 'installing maturin and Zig'
  python3 -m venv --clear "$work/tools" && "$work/tools/bin/pip" install --quiet 'maturin[zig]>=1.9,<2' || missing 'no maturin'
fi
rm -rf "$work/dist"
[[ $# != 0 ]] || set -- --profile release
say "building the wheel, $*"
PATH=$work/tools/bin:$PATH maturin build "$@" --locked --zig --compatibility manylinux_2_28 --target "$TARGET" \
  --manifest-path "$CRATE/Cargo.toml" --out "$work/dist"
wheel=("$work"/dist/*.whl)
say "built ${wheel[0]##*/}, $(stat -c %s "${wheel[0]}") bytes"

emulator=()
python=python3
if [[ $(uname -m) != aarch64 ]]; then
  command -v qemu-aarch64-static > /dev/null || missing 'no qemu-aarch64-static (apt-get install qemu-user-static)'
  root=$work/root
  python=$root/usr/bin/python3.11
  if [[ ! -x $python ]]; then
    say 'fetching a Python for arm64'
    mkdir -p "$work/packages"
    dpkg --add-architecture arm64 && apt-get update > /dev/null 2>&1 || missing 'apt cannot be used'
    packages=(python3.11-minimal libpython3.11-minimal libpython3.11-stdlib libpython3.11 libc6 libexpat1 zlib1g libssl3 libffi8 libbz2-1.0 \
      liblzma5 libgcc-s1 libstdc++6)
    (cd "$work/packages" && apt-get download "${packages[@]/%/:arm64}" > /dev/null 2>&1) || missing 'no Python 3.11 for arm64 in apt'
    for package in "$work"/packages/*.deb; do dpkg-deb -x "$package" "$root"; done
  fi
  emulator=(qemu-aarch64-static -L "$root")
  export PYTHONHOME=$root/usr
fi
rm -rf "$work/site" "$work/numpy"
env -u PYTHONHOME "$work/tools/bin/pip" download --quiet --no-deps --only-binary=:all: --python-version 311 --platform manylinux_2_28_aarch64 \
  --platform manylinux_2_27_aarch64 --platform manylinux2014_aarch64 --dest "$work/numpy" numpy || missing 'no NumPy for arm64'
for archive in "$work"/numpy/*.whl "${wheel[0]}"; do env -u PYTHONHOME python3 -m zipfile -e "$archive" "$work/site"; done
export PYTHONPATH=$work/site PYTHONDONTWRITEBYTECODE=1
"${emulator[@]}" "$python" -m onnx_swish --version
"${emulator[@]}" "$python" "$CRATE/tests/aarch64_once.py" fixtures
say 'the wheel runs'
