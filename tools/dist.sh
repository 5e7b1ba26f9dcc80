#!/usr/bin/env bash
# Puts what a user needs into target/dist/overhand: these names are stable.
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/env.sh
out=target/dist/overhand
rm -rf "$out"
mkdir -p "$out"/{bin,jars,conf}
install -m 755 "$CARGO_TARGET_DIR/release/overhand" "$out/bin/overhand"
strip --strip-debug "$out/bin/overhand"
install -m 644 "$OVERHAND_CACHE/spark-jar/overhand-spark.jar" "$out/jars/overhand-spark.jar"
install -m 644 conf/overhand.toml "$out/conf/overhand.toml"
cp -r docs "$out/docs"
cp LICENSE README.md "$out/"
echo "dist: $out"
