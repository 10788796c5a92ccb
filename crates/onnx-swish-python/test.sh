#!/usr/bin/env bash
# Builds the wheel, installs it into a fresh environment, and runs pytest and the examples there.
#
#     bash crates/onnx-swish-python/test.sh [--sdist] [pytest's arguments]
#
# With --sdist the wheel is built from the source package, as pip does on a machine for which there is no wheel; that compiles this
# project's crates once more. Needs Rust, Python 3.10 or newer with pip, and PyPI: maturin, and what the tests compare with. The examples
# for many machines are tested on a Ray of this machine if pip can install Ray. Exits with
# 77 if these cannot be had, as test harnesses understand "skipped".
set -euo pipefail
cd "$(dirname "$0")/../.."

readonly SKIPPED=77 CRATE=crates/onnx-swish-python
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
readonly target work=$target/python
export CARGO_TERM_COLOR=never CARGO_INCREMENTAL=0 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore

say() { printf 'python: %s\n' "$*"; }

missing() {
  say "NOT RUN: $1"
  say 'needed: python3 (3.10 or newer) with venv and pip, and a package index that has maturin and onnxruntime'
  say 'on Debian and Ubuntu: apt-get install python3-venv'
  exit "$SKIPPED"
}

environment() {
  local folder=$1
  shift
  if ! python3 -m venv --clear "$folder" > "$work/venv.log" 2>&1; then
    # Debian leaves pip out of venv until this is installed.
    { command -v apt-get && [[ $(id -u) == 0 ]] && apt-get update && apt-get install -y --no-install-recommends python3-venv \
      && python3 -m venv --clear "$folder"; } > "$work/venv.log" 2>&1 || missing "no environment: $(tail -n 1 "$work/venv.log")"
  fi
  "$folder/bin/python" -m pip install --quiet --only-binary=:all: "$@" || missing "pip cannot install $*"
}

from_source=no
if [[ ${1:-} == --sdist ]]; then
  from_source=yes
  shift
fi
command -v python3 > /dev/null || missing 'no python3'
python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' || missing "$(python3 --version) is older than 3.10"
mkdir -p "$work"
if ! "$work/tools/bin/maturin" --version > /dev/null 2>&1; then
  say 'installing maturin'
  environment "$work/tools" 'maturin>=1.9,<2'
fi

rm -rf "$work/dist"
say 'building the wheel'
if [[ $from_source == yes ]]; then
  "$work/tools/bin/maturin" sdist --manifest-path "$CRATE/Cargo.toml" --out "$work/dist"
  CARGO_TARGET_DIR=$target "$work/tools/bin/python" -m pip wheel --no-deps --wheel-dir "$work/dist" "$work"/dist/*.tar.gz
else
  "$work/tools/bin/maturin" build --release --locked --manifest-path "$CRATE/Cargo.toml" --out "$work/dist"
fi
wheel=("$work"/dist/*.whl)
say "built ${wheel[0]##*/}, $(stat -c %s "${wheel[0]}" 2> /dev/null || stat -f %z "${wheel[0]}") bytes"

say 'installing it into a fresh environment'
environment "$work/fresh" "${wheel[0]}" pytest mypy onnx onnxruntime ml_dtypes
# Ray has wheels for fewer systems and versions of Python than this package; without it its tests are skipped.
if "$work/fresh/bin/python" -m pip install --quiet --only-binary=:all: 'ray[data]' pillow fsspec 2> "$work/ray.log"; then
  say 'with Ray'
else
  say "NOT RUN: Ray, pip cannot install it here: $(tail -n 1 "$work/ray.log")"
fi
# Outside the sources, so that the package that is tested is the installed one.
cd "$work"
"$work/fresh/bin/python" -m pytest --quiet -p no:cacheprovider "$OLDPWD/$CRATE/tests" "$@"
cd "$OLDPWD"
say 'running the examples'
for example in examples/python/*.py; do
  "$work/fresh/bin/python" "$example"
done
say 'passed'
