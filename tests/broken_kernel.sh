#!/usr/bin/env bash
# Breaks one coefficient of the kernels in its seventh digit, and shows that the step of the CI against ONNX Runtime notices:
# tests/broken_kernel.sh
#
# Given the tracked files as they are on disk. Works on a copy below target/, of another version: what is built of other people's crates is
# shared with the project's own builds, and nothing of this project's, which cargo would take for its own. Promises exit status 0 if
# `fixtures/against_onnxruntime.py` fails with the broken command, and says for how many models; 1 if it passes.
set -euo pipefail
cd "$(dirname "$0")/.."
project=$PWD copy=$PWD/target/broken-kernel
coefficients=crates/onnx-swish-kernels/src/formula/coefficients.rs
right='pub(crate) const LOG2_E: f64 = std::f64::consts::LOG2_E;'
# 1.442696 for 1.442695: e⁻ᵗ is off by t·7·10⁻⁷, on every instruction set.
wrong='pub(crate) const LOG2_E: f64 = std::f64::consts::LOG2_E + 1e-6;'

rm -rf "$copy"
mkdir -p "$copy"
git ls-files -z | xargs -0 cp --parents --target-directory "$copy"
grep -qF "$right" "$copy/$coefficients" || { echo "$coefficients: there is no line '$right' to break" >&2; exit 2; }
sed -i "s|${right//./\\.}|$wrong|" "$copy/$coefficients"

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml)
sed -i "s/\(^version\|, version\) = \"$version\"/\1 = \"$version-broken\"/" "$copy/Cargo.toml"
(cd "$copy" && cargo metadata --offline --format-version 1 > /dev/null)
(cd "$copy" && CARGO_INCREMENTAL=0 cargo build --release --workspace --bin onnx-swish --locked --target-dir "$project/target")
# Out of the way of whoever wants the right one: the next build puts that back.
mv target/release/onnx-swish "$copy/onnx-swish"

library=$(.ci/onnxruntime)
if python3 fixtures/against_onnxruntime.py "$copy/onnx-swish" "$library" > "$copy/said" 2> "$copy/differences"; then
  echo "not noticed: $(tail -1 "$copy/said")" >&2
  exit 1
fi
echo "noticed: $(tail -1 "$copy/said")"
grep -m 1 'is the first activation that is off\|"from": "formula"' "$copy/differences" || true
