#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The library on processors that have less than this one: nothing that a level was compiled for may run below it.
#   ./test/check_processors.sh BUILD    a build folder; needs qemu-user
set -euo pipefail
build=$1
command -v qemu-x86_64 >/dev/null || { echo "no qemu-x86_64 (package qemu-user)"; exit 1; }
# What a test of equality does at every level that the processor has. QEMU 7.2 reads the lanes that vmaskmovps masks
# out, which ends tests of float products and of softmax at AVX2 where a buffer ends at a page: those are left out.
for cpu in qemu64 max; do
  echo "$cpu"
  qemu-x86_64 -cpu $cpu "$build/tools/tinyslim" --version
  qemu-x86_64 -cpu $cpu "$build/test/test_gemm" '*s8'
  qemu-x86_64 -cpu $cpu "$build/test/test_gemm" test_bundles
  qemu-x86_64 -cpu $cpu "$build/test/test_vector" test_softmax
done
