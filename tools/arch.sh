#!/usr/bin/env bash
# The machine's architecture as the plugin names it in its folder of native libraries.
case "$(uname -m)" in
  x86_64) echo amd64 ;;
  aarch64) echo aarch64 ;;
  *) uname -m ;;
esac
