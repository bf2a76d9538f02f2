#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The whole way on real data: a trained residual network and the Fashion-MNIST images, from an ONNX file through
# sensitivity, pruning, repair, fine-tuning, calibration and quantization to an INT8 model, with accuracy and latency at each
# step.
# On a fresh Debian 12 it installs what it needs and builds the library first. A checkpoint of each step is left in the
# folder named at the end.
#   usage: ./examples/quickstart.sh [FOLDER]        default: build-quickstart/out
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-build-quickstart/out}

source examples/setup.sh
install_packages "${library_packages[@]}" dataset-fashion-mnist
build_library
tinyslim=build-quickstart/tools/tinyslim
data=$(dirname "$(dpkg -L dataset-fashion-mnist | grep t10k-images)")
images=(--data "$data/t10k-images-idx3-ubyte.gz" --labels "$data/t10k-labels-idx1-ubyte.gz")
training=(--data "$data/train-images-idx3-ubyte.gz")
# How the network's training prepared its images.
prepare=(--scale 0.00392156862745098 --mean 0.2860 --std 0.3530)
mkdir -p "$out"
float=examples/models/fashion_resnet.onnx

echo "== what the network is, and which channels can go"
"$tinyslim" inspect "$float" --groups | tee "$out/groups.txt"

echo "== sensitivity: accuracy against ratio for each group, on 2,000 images"
"$tinyslim" sensitivity "$float" "${training[@]}" --labels "$data/train-labels-idx1-ubyte.gz" --limit 2000 "${prepare[@]}" \
  --ratios 0.1,0.2,0.3,0.4,0.5 -o "$out/sensitivity.json" --plot "$out/sensitivity.svg"

echo "== prune: each group as far as it costs at most two points by itself"
"$tinyslim" prune "$float" -o "$out/pruned.onnx" --max-loss 0.02 --round 4 --sensitivity "$out/sensitivity.json" \
  --plan "$out/plan.json"

echo "== repair: 500 images without their labels"
"$tinyslim" repair "$out/pruned.onnx" --teacher "$float" "${training[@]}" --limit 500 "${prepare[@]}" -o "$out/repaired.onnx" \
  --quiet | tail -1

echo "== fine-tune: one epoch of 20,000 images, at a tenth of the usual learning rate"
"$tinyslim" finetune "$out/repaired.onnx" --teacher "$float" "${training[@]}" --labels "$data/train-labels-idx1-ubyte.gz" \
  --limit 20000 "${prepare[@]}" --epochs 1 --lr 0.01 --batch 128 -o "$out/tuned.onnx"

# name, model: calibrates on 1,000 training images and quantizes.
to_int8() {
  "$tinyslim" calibrate "$2" "${training[@]}" --limit 1000 "${prepare[@]}" -o "$out/$1.calibration.json" --quiet
  "$tinyslim" quantize "$2" --calibration "$out/$1.calibration.json" -o "$out/$1.tslim" --quiet
}
echo "== calibrate and quantize, the float network and the pruned one"
to_int8 int8 "$float"
to_int8 tuned-int8 "$out/tuned.onnx"

number() { sed -nE "s/.*\"$1\": *([0-9.e+-]+).*/\1/p" | head -1; }
row() {
  local name=$1 model=$2 eval bench inspect
  eval=$("$tinyslim" eval "$model" "${images[@]}" "${prepare[@]}" --metric top1 --json)
  bench=$("$tinyslim" bench "$model" --threads 1 --seconds 1 --json)
  inspect=$("$tinyslim" inspect "$model" --json)
  printf '%-14s %9d %11.2f %9.2f %10.3f %12.0f\n' "$name" "$(stat -c %s "$model")" \
    "$(awk -v m="$(number macs <<<"$inspect")" 'BEGIN {print m / 1e6}')" \
    "$(awk -v a="$(number top1 <<<"$eval")" 'BEGIN {print 100 * a}')" \
    "$(number min_ms <<<"$bench")" "$(number throughput <<<"$bench")"
}
echo "== accuracy on the 10,000 test images; latency of one image on one core of $(grep -m1 'model name' /proc/cpuinfo | sed 's/.*: //')"
{
  printf '%-14s %9s %11s %9s %10s %12s\n' step bytes MMACs 'top-1 %' 'min ms' 'images/s'
  row float "$float"
  row pruned "$out/pruned.onnx"
  row repaired "$out/repaired.onnx"
  row tuned "$out/tuned.onnx"
  row int8 "$out/int8.tslim"
  row tuned-int8 "$out/tuned-int8.tslim"
} | tee "$out/table.txt"
echo "== the steps' files are in $out"
