#!/usr/bin/env bash
# Writes the pages of the docs that come from the code.
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/env.sh
overhand="$CARGO_TARGET_DIR/release/overhand"
mkdir -p docs/reference conf
"$overhand" config --reference markdown >docs/reference/configuration.md
"$overhand" config --reference sample >conf/overhand.toml
"$overhand" config --reference metrics >docs/reference/metrics.md
java -cp "$OVERHAND_CACHE/spark-jar/overhand-spark.jar" io.overhand.spark.conf.ReferencePage \
  >docs/reference/spark-configuration.md
