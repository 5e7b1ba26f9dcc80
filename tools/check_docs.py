#!/usr/bin/env python3
"""Checks that what the documentation names exists: files, make targets, configuration keys, metrics.

A name in backquotes is checked when it looks like one of ours:
  path/with/slash.ext or folder/      a file or folder of the checkout (or of target/dist/overhand)
  `make NAME`                         a target of the Makefile
  `spark.overhand.x`                  a key in docs/reference/spark-configuration.md
  `overhand_x_total`                  a metric in docs/reference/metrics.md
Links to other pages must lead to files. Closing line: 'docs: N passed, M failed'.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
PATHS = re.compile(r"^(?:shuffle-\w+|proto|benches|chaos|sim|spark-tests|docs|tools|conf|k8s)/[\w./*-]*$")


def named_in(page):
    path = ROOT / "docs/reference" / page
    return set(re.findall(r"`([\w.]+)`", path.read_text())) if path.exists() else set()


def main():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    spark_keys = named_in("spark-configuration.md")
    metrics = named_in("metrics.md")
    checked, wrong = 0, []

    for page in PAGES:
        text = page.read_text()
        for number, line in enumerate(text.splitlines(), 1):
            def verdict(ok, what):
                nonlocal checked
                checked += 1
                if not ok:
                    wrong.append(f"{page.relative_to(ROOT)}:{number}: {what}")

            for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", line):
                verdict((page.parent / target).exists(), f"the link {target} leads nowhere")
            for name in re.findall(r"`([^`]+)`", line):
                name = name.strip()
                if PATHS.match(name):
                    found = any(ROOT.glob(name.rstrip("/"))) if "*" in name else (ROOT / name).exists()
                    verdict(found, f"there is no {name}")
                elif match := re.match(r"^(?:\w+=\S+ )*make ([a-z-]+)", name):
                    verdict(match[1] in targets, f"the Makefile has no target {match[1]}")
                elif re.match(r"^spark\.overhand\.[\w.]+\w$", name):
                    verdict(name in spark_keys, f"{name} is no key of the plugin")
                elif re.match(r"^overhand_[a-z_]+$", name):
                    verdict(name in metrics or name == "overhand_jni", f"{name} is no metric")

    for line in wrong:
        print(line)
    print(f"docs: {checked - len(wrong)} passed, {len(wrong)} failed")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
