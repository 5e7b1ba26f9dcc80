# Sourced by the Makefile's recipes and by scripts: where builds are cached and how rocksdb's binding finds libclang.
# shellcheck shell=bash
export OVERHAND_CACHE="${OVERHAND_CACHE:-$HOME/.cache/overhand}"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$OVERHAND_CACHE/target}"
if [ -z "${LIBCLANG_PATH:-}" ]; then
  LIBCLANG_PATH="$(find "$OVERHAND_CACHE/venv" -name 'libclang*.so*' -printf '%h\n' 2>/dev/null | head -n 1)"
  export LIBCLANG_PATH
  BINDGEN_EXTRA_CLANG_ARGS="-I$(gcc -print-file-name=include)"
  export BINDGEN_EXTRA_CLANG_ARGS
fi
