#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what building and testing need, once. Sourced by run.sh and by the longer checks.
# Sets TSLIM_CACHE (models and the Python environment; outside the tree) and PYTHON.
set -euo pipefail

packages=(build-essential clang meson ninja-build pkg-config nanopb libnanopb-dev libcjson-dev libcmocka-dev
  zlib1g-dev libdeflate-dev libpng-dev libjpeg62-turbo-dev liblapacke libfreetype-dev dataset-fashion-mnist libonnx-testdata python3-venv unzip bc)

source "$(dirname "${BASH_SOURCE[0]}")/../examples/setup.sh"

TSLIM_CACHE=${TSLIM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/tinyslim}
PYTHON=$TSLIM_CACHE/venv/bin/python

# Peers to compare with, and real models that PyPI wheels carry.
install_python() {
  if [ ! -f "$TSLIM_CACHE/venv/ready-1" ]; then
    mkdir -p "$TSLIM_CACHE"
    python3 -m venv "$TSLIM_CACHE/venv"
    "$PYTHON" -m pip install -q --disable-pip-version-check numpy onnx onnxruntime
    touch "$TSLIM_CACHE/venv/ready-1"
  fi
}

# ONNX's own tests of its operators up to opset 21; newer packages do not carry them.
fetch_node_tests() {
  local folder=$TSLIM_CACHE/node-tests-1.16 wheels
  [ -f "$folder/ready-1" ] && return
  mkdir -p "$folder"
  wheels=$(mktemp -d)
  "$PYTHON" -m pip download -q --disable-pip-version-check --no-deps -d "$wheels" onnx==1.16.2
  unzip -qo "$wheels"/onnx-*.whl 'onnx/backend/test/data/node/*' -d "$wheels"
  cp -r "$wheels/onnx/backend/test/data/node" "$folder"
  rm -rf "$wheels"
  touch "$folder/ready-1"
}

fetch_models() {
  local models=$TSLIM_CACHE/models wheels
  [ -f "$models/ready-1" ] && return
  mkdir -p "$models"
  wheels=$(mktemp -d)
  "$PYTHON" -m pip download -q --disable-pip-version-check --no-deps -d "$wheels" \
    rapidocr-onnxruntime==1.4.4 nudenet==3.4.2
  for wheel in "$wheels"/*.whl; do unzip -qojd "$models" "$wheel" '*.onnx'; done
  rm -rf "$wheels"
  "$PYTHON" "$(dirname "${BASH_SOURCE[0]}")/conformance/make_models.py" "$models"
  touch "$models/ready-1"
}

# Recurrent networks, features of sound and a classifier of files: small models with several inputs.
fetch_more_models() {
  local models=$TSLIM_CACHE/models/more wheels wheel
  [ -f "$models/ready-1" ] && return
  mkdir -p "$models"
  wheels=$(mktemp -d)
  "$PYTHON" -m pip download -q --disable-pip-version-check --no-deps -d "$wheels" \
    silero-vad==6.2.3 faster-whisper==1.2.1 magika==1.0.3 onnx-asr==0.12.0
  for wheel in "$wheels"/*.whl; do
    unzip -qojd "$models/$(basename "$wheel" | cut -d- -f1)" "$wheel" '*.onnx'
  done
  rm -rf "$wheels"
  touch "$models/ready-1"
}

install_packages "${packages[@]}"
install_python
fetch_models
fetch_more_models
fetch_node_tests
export TSLIM_CACHE PYTHON TSLIM_MODELS=$TSLIM_CACHE/models
