#!/usr/bin/env bash
# Builds the page into a folder that any server of static files can serve.
#
#     crates/onnx-swish-web/build.sh FOLDER [--check]
#
# Needs Rust with the standard library for wasm32-unknown-unknown: `rustup target add wasm32-unknown-unknown`. Where that cannot be had and
# this is a Debian with apt, Debian's compiler for the web is unpacked below target/ (installed nowhere) and the standard library is built
# from its sources, which takes a nightly cargo. `--check` adds ONNX Runtime from npm for the check in the page. Exits with 77 if it cannot
# build for want of tools, as test harnesses understand "skipped".
set -euo pipefail
cd "$(dirname "$0")/../.."

readonly TARGET=wasm32-unknown-unknown SKIPPED=77 ORT_VERSION=1.30.0
# A target folder of its own: the workspace's may be busy, and `-Zbuild-std` would disturb it.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}/web CARGO_INCREMENTAL=0 CARGO_TERM_COLOR=never

say() { printf 'web: %s\n' "$*"; }

if [[ $# -lt 1 || $1 == -* ]]; then
  sed -n '2,5s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi
folder=$1 with_check=${2:-}
arguments=(--locked --target "$TARGET" --profile wasm -p onnx-swish-web)

has_std() { [[ -d $("$1" --print sysroot 2> /dev/null)/lib/rustlib/$TARGET/lib ]]; }

# Debian's rustc-web in a folder: a compiler whose LLVM has WebAssembly, and the sources of its standard library.
unpack_debian() {
  local root=$CARGO_TARGET_DIR/debian
  if [[ ! -x $root/rustc ]]; then
    command -v apt-get > /dev/null && command -v dpkg > /dev/null || return 1
    rm -rf "$root" && mkdir -p "$root/packages"
    (
      cd "$root/packages"
      download() {
        local std llvm
        std=$(apt-cache depends rustc-web | sed -n 's/.*Depends: \(libstd-rust-web-[0-9.]*\)$/\1/p' | head -n 1)
        llvm=$(apt-cache depends "${std:-none}" | sed -n 's/.*Depends: \(libllvm[0-9]*\)$/\1/p' | head -n 1)
        [[ -n $std && -n $llvm ]] && apt-get -qq download rustc-web "$std" libstd-rust-web-dev "$llvm" rust-web-src
      }
      download 2> /dev/null || { apt-get -qq update && download; }
    ) || return 1
    for package in "$root"/packages/*.deb; do dpkg -x "$package" "$root"; done
    rm -rf "$root/packages"
    mkdir -p "$root/usr/lib/rustlib/src"
    ln -sfn "$(echo "$root"/usr/src/rustc-*)" "$root/usr/lib/rustlib/src/rust"
    printf '#!/bin/sh\nLD_LIBRARY_PATH=%s/usr/lib/%s-linux-gnu exec %s/usr/bin/rustc "$@"\n' "$root" "$(uname -m)" "$root" > "$root/rustc"
    chmod +x "$root/rustc"
  fi
  echo "$root/rustc"
}

if has_std rustc; then
  cargo build "${arguments[@]}"
elif command -v rustup > /dev/null && rustup target add "$TARGET" > /dev/null 2>&1 && has_std rustc; then
  cargo build "${arguments[@]}"
elif cargo +nightly --version > /dev/null 2>&1 && compiler=$(unpack_debian); then
  say "with Debian's compiler for the web; the standard library is built, too"
  linker=$(rustc --print sysroot)/lib/rustlib/$(rustc -vV | sed -n 's/^host: //p')/bin/rust-lld
  RUSTC_BOOTSTRAP=1 RUSTC=$compiler CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=$linker \
    cargo +nightly build -Zbuild-std=std,panic_abort "${arguments[@]}"
else
  say "NOT BUILT: Rust's standard library for $TARGET is not here, and could not be had"
  say "with rustup: rustup target add $TARGET"
  say 'on Debian: apt-get and a nightly cargo, for the compiler of rustc-web'
  exit "$SKIPPED"
fi

mkdir -p "$folder"
cp crates/onnx-swish-web/page/* "$folder"
cp crates/onnx-swish-report/assets/{style.css,draw.js,view.js,dagre.min.js} "$folder"
cp "$CARGO_TARGET_DIR/$TARGET/wasm/onnx_swish_web.wasm" "$folder"
if [[ $with_check == --check ]]; then
  command -v npm > /dev/null || { say 'NOT BUILT: --check needs npm'; exit "$SKIPPED"; }
  scratch=$CARGO_TARGET_DIR/npm
  mkdir -p "$scratch"
  npm install --silent --no-audit --no-fund --prefix "$scratch" "onnxruntime-web@$ORT_VERSION"
  mkdir -p "$folder/ort"
  cp "$scratch"/node_modules/onnxruntime-web/dist/{ort.wasm.min.js,ort-wasm-simd-threaded.{wasm,mjs}} "$folder/ort"
  sed -i 's/<html lang="en">/<html lang="en" data-check="here">/' "$folder/index.html"
fi
say "$(wc -c < "$folder/onnx_swish_web.wasm") bytes of WebAssembly; the page is in $folder"
