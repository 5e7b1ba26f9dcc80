# Sourced by the Makefile's recipes and by scripts: where builds are cached, how rocksdb's binding finds libclang, and
# which JDK is used.
# shellcheck shell=bash
export OVERHAND_CACHE="${OVERHAND_CACHE:-$HOME/.cache/overhand}"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$OVERHAND_CACHE/target}"
if [ -z "${LIBCLANG_PATH:-}" ]; then
  LIBCLANG_PATH="$(find "$OVERHAND_CACHE/venv" -name 'libclang*.so*' -printf '%h\n' 2>/dev/null | head -n 1 || true)"
  export LIBCLANG_PATH
  BINDGEN_EXTRA_CLANG_ARGS="-I$(gcc -print-file-name=include)"
  export BINDGEN_EXTRA_CLANG_ARGS
fi
# Spark 3.5 and 4.x both run on 17; a newer java may be first on PATH.
if [ -z "${JAVA_HOME:-}" ]; then
  for home in /usr/lib/jvm/*17*; do
    if [ -x "$home/bin/javac" ]; then
      export JAVA_HOME="$home"
      break
    fi
  done
fi
if [ -n "${JAVA_HOME:-}" ]; then
  export PATH="$JAVA_HOME/bin:$PATH"
fi
