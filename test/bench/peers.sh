#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The library beside ONNX Runtime, OpenVINO (NNCF) and ncnn on the same models and the same core, in one run.
# usage: test/bench/peers.sh [options and models of peers.py]      tables are saved in build-bench/
set -euo pipefail
cd "$(dirname "$0")/../.."
source test/setup.sh

peers=$TSLIM_CACHE/peers
if [ ! -f "$peers/ready-1" ]; then
  python3 -m venv "$peers"
  "$peers/bin/pip" install -q --disable-pip-version-check numpy onnx onnxruntime openvino nncf ncnn
  "$peers/bin/pip" install -q --disable-pip-version-check --no-deps pnnx # its dependency on torch is for another use
  touch "$peers/ready-1"
fi

[ -d build-bench ] || meson setup build-bench --buildtype=release >/dev/null
ninja -C build-bench >/dev/null
export TINYSLIM=$PWD/build-bench/tools/tinyslim TINYSLIM_LIBRARY=$PWD/build-bench/lib/libtinyslim.so
exec "$peers/bin/python" test/bench/peers.py --save build-bench "$@"
