#!/usr/bin/env bash
# Installs what a build needs beyond the usual toolchains, outside the checkout; does nothing when it is all there.
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/env.sh

missing=()
for tool in cargo mvn python3 gcc g++; do
  command -v "$tool" >/dev/null || missing+=("$tool")
done
if [ ${#missing[@]} -gt 0 ]; then
  echo "setup: not found on PATH: ${missing[*]}. Needed are Rust (rustup), a JDK 17 with Maven, Python 3, gcc and make." >&2
  exit 1
fi

# rocksdb's binding is generated at build time and needs libclang; the wheel brings it without root.
if [ -z "${LIBCLANG_PATH:-}" ] || [ ! -d "$LIBCLANG_PATH" ]; then
  echo "setup: installing libclang into $OVERHAND_CACHE/venv"
  mkdir -p "$OVERHAND_CACHE"
  [ -x "$OVERHAND_CACHE/venv/bin/python" ] || python3 -m venv "$OVERHAND_CACHE/venv"
  "$OVERHAND_CACHE/venv/bin/python" -m pip install --quiet libclang
fi
