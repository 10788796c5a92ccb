#!/usr/bin/env bash
# Opens reports, diffs and the page in Chromium: what they show, what they draw, what they download, and that nothing leaves them.
#
#     bash tests/browser/run.sh [COMMAND]        # target/release/onnx-swish by default
#
# With CHECK=1 in the environment also the page's check by ONNX Runtime, which npm has to bring (150 MB).
#
# Needs Node 20.11 with npm, Chromium, and what `crates/onnx-swish-web/build.sh` needs. What is missing is installed where apt and the
# rights to use it are there, and named where not. Exits with 77 if it cannot run for want of tools, as test harnesses understand "skipped".
set -euo pipefail
cd "$(dirname "$0")/../.."

readonly SKIPPED=77 PLAYWRIGHT=1.65.1
target=${CARGO_TARGET_DIR:-target}
mkdir -p "$target/browser"
scratch=$(cd "$target/browser" && pwd)

say() { printf 'browser: %s\n' "$*"; }
skip() {
  say "NOT RUN: $1"
  say 'needed: node 20.11 or newer, npm, chromium; on Debian and Ubuntu: apt-get install nodejs npm chromium'
  exit "$SKIPPED"
}

command=${1:-$target/release/onnx-swish}
if [[ ! -x $command ]]; then
  say "there is no $command: build it first, cargo build --release -p onnx-swish-cli --no-default-features" >&2
  exit 1
fi

install() {
  command -v apt-get > /dev/null && [[ $(id -u) == 0 ]] || return 1
  say "installing $*"
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" > /dev/null 2>&1 \
    || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" > /dev/null 2>&1; }
}
find_browser() {
  local name
  for name in "${BROWSER:-}" chromium chromium-browser google-chrome; do
    if [[ -n $name ]] && command -v "$name"; then return; fi
  done
  return 1
}
wanted=()
find_browser > /dev/null || wanted+=(chromium fonts-dejavu-core)
command -v node > /dev/null || wanted+=(nodejs)
command -v npm > /dev/null || wanted+=(npm)
if ((${#wanted[@]})); then install "${wanted[@]}" || skip "${wanted[*]} missing, and not to be had"; fi
browser=$(find_browser) || skip 'no Chromium'
node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 20 || (a == 20 && b >= 11) ? 0 : 1)' || skip "node $(node --version) is too old"

if [[ ! -d $scratch/node_modules/playwright-core ]]; then
  [[ -f $scratch/package.json ]] || echo '{"private": true}' > "$scratch/package.json"
  npm install --silent --no-audit --no-fund --prefix "$scratch" "playwright-core@$PLAYWRIGHT" || skip 'playwright-core cannot be had from npm'
fi

page=$scratch/page
rm -rf "$page"
status=0
bash crates/onnx-swish-web/build.sh "$page" ${CHECK:+--check} || status=$?
if [[ $status == "$SKIPPED" ]]; then skip 'the page could not be built, see above'; fi
[[ $status == 0 ]] || exit "$status"

export BROWSER=$browser PAGE=$page SCRATCH=$scratch
COMMAND=$(cd "$(dirname "$command")" && pwd)/$(basename "$command")
export COMMAND
node --test --test-concurrency=1 --test-reporter=spec tests/browser/*.test.mjs
