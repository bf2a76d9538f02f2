#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# PP-OCR's text detection and recognition, made small and fast without labels, from the published ONNX files to pruned INT8:
# prune 30 % of the channels by BatchNormalization's scale, repair, fine-tune for 5 epochs against the original on unlabelled
# images, calibrate on 1,000, quantize. Accuracy is measured on rendered documents with truth; training, calibration and test
# sets share nothing. A checkpoint of each step and the table stay in the folder.
#   usage: ./examples/ocr/run.sh [--small] [--models "v3-det v3-rec v4-det v4-rec"] [--price DOLLARS_AN_HOUR] [FOLDER]
# --small: fewer images, a few minutes a model; too few for accuracy.  FOLDER: build-quickstart/ocr
set -euo pipefail
cd "$(dirname "$0")/../.."

small=0 models="v3-det v3-rec v4-det v4-rec" price=0.10 out=build-quickstart/ocr
while [ $# -gt 0 ]; do
  case $1 in
    --small) small=1 ;;
    --models) models=${2:?--models needs a list}; shift ;;
    --price) price=${2:?--price needs a number}; shift ;;
    -*) echo "run.sh: unknown flag $1" >&2; exit 2 ;;
    *) out=$1 ;;
  esac
  shift
done
epochs=5 ratio=0.3 training_lines=8000 training_pages=800 repair=200 calibration=1000 test_lines=1000 test_pages=200
[ $small = 0 ] || epochs=1 training_lines=600 training_pages=60 repair=40 calibration=50 test_lines=200 test_pages=40

source examples/setup.sh
cache=${XDG_CACHE_HOME:-$HOME/.cache}/tinyslim/ocr
# Two wheels of rapidocr hold the models as PaddleOCR published them.
fetch() {
  [ -f "$cache/ready-1" ] && return
  echo "== fetching the models"
  mkdir -p "$cache/v3" "$cache/v4"
  [ -x "$cache/venv/bin/python" ] || python3 -m venv "$cache/venv"
  "$cache/venv/bin/python" -m pip download -q --disable-pip-version-check --no-deps -d "$cache" \
    rapidocr-onnxruntime==1.2.3
  "$cache/venv/bin/python" -m pip download -q --disable-pip-version-check --no-deps -d "$cache" \
    rapidocr-onnxruntime==1.4.4
  unzip -qnjd "$cache/v3" "$cache"/rapidocr_onnxruntime-1.2.3-*.whl '*PP-OCRv3*.onnx'
  unzip -qnjd "$cache/v4" "$cache"/rapidocr_onnxruntime-1.4.4-*.whl '*PP-OCRv4*.onnx'
  touch "$cache/ready-1"
}

# set, kind, seed, count
render() {
  [ -f "$out/$1-$2.txt" ] && [ "$(cat "$out/$1-$2.count" 2>/dev/null)" = "$4" ] && return
  "$bin/examples/ocr/ocr_render" "$2" "$3" "$4" "$out/$1-$2.npy" "$out/$1-$2.txt"
  echo "$4" >"$out/$1-$2.count"
}

# A step's name, the file that it makes, and its command; a file that is there is not made again.
step() {
  local name=$1 file=$2 start=$SECONDS
  shift 2
  [ -f "$file" ] && return
  "$@" >"$work/$name.log" || { cat "$work/$name.log"; exit 1; }
  echo "   $name: $((SECONDS - start)) s"
}

reduce() {
  local -a data=("${prepare[@]}" --quiet)
  step prune "$work/pruned.onnx" "$tinyslim" prune "$float" --criterion bn-scale --data "$out/calibration-$kind.npy" "${data[@]}" \
    --shape "$shape" --limit 64 --ratio $ratio --round 8 --plan "$work/plan.json" -o "$work/pruned.onnx"
  step repair "$work/repaired.onnx" "$tinyslim" repair "$work/pruned.onnx" --teacher "$float" --data "$out/training-$kind.npy" \
    "${data[@]}" --limit $repair -o "$work/repaired.onnx"
  step finetune "$work/tuned.onnx" "$tinyslim" finetune "$work/repaired.onnx" --teacher "$float" \
    --data "$out/training-$kind.npy" "${data[@]}" --shape "$shape" --epochs $epochs "${training[@]}" --checkpoint "$work/finetune.checkpoint" --resume \
    -o "$work/tuned.onnx"
  step calibrate "$work/calibration.json" "$tinyslim" calibrate "$work/tuned.onnx" --data "$out/calibration-$kind.npy" "${data[@]}" \
    -o "$work/calibration.json"
  step quantize "$work/int8.tslim" "$tinyslim" quantize "$work/tuned.onnx" --calibration "$work/calibration.json" \
    -o "$work/int8.tslim" --quiet
}

# step, file
row() {
  local score bench macs size
  score=$("$bin/examples/ocr/ocr_score" "$kind" "$2" "$out/test-$kind.npy" "$out/test-$kind.txt")
  bench=$("$tinyslim" bench "$2" --shape "$shape" --threads 1 --seconds 2 --json)
  macs=$("$tinyslim" inspect "$2" --shape "$shape" --json | jq .macs)
  size=$(stat -c %s "$2")
  jq -n --argjson s "$score" --argjson b "$bench" --argjson macs "$macs" --argjson size "$size" --arg step "$1" \
    --arg model "$model" --argjson price "$price" '{model: $model, step: $step, bytes: $size, macs: $macs, min_ms: $b.min_ms,
    throughput: (1000 / $b.min_ms), dollars_per_million: ($price * $b.min_ms * 1e6 / 3.6e6)} + $s' >"$work/$1.row.json"
  jq -r '[.step, .bytes / 1e6, .macs / 1e6, .min_ms, .throughput, .dollars_per_million,
    100 * (.exact_lines // .hmean), 100 * (.characters // .recall)] | @tsv' "$work/$1.row.json" |
    awk -F'\t' '{printf "%-10s %8.2f %9.1f %8.2f %9.1f %12.2f %8.2f %8.2f\n", $1, $2, $3, $4, $5, $6, $7, $8}'
}

install_packages "${library_packages[@]}" libfreetype-dev fonts-noto-cjk fonts-wqy-microhei fonts-wqy-zenhei fonts-arphic-uming \
  fonts-arphic-ukai fonts-dejavu-core fonts-liberation python3-venv unzip jq
build_library
test -x build-quickstart/examples/ocr/ocr_render || {
  echo "run.sh: build-quickstart was set up before FreeType was there; remove it and start again" >&2
  exit 1
}
bin=build-quickstart tinyslim=build-quickstart/tools/tinyslim
fetch
mkdir -p "$out"
for model in $models; do
  version=${model%-*}
  case $model in
    v[34]-rec) kind=lines shape=1x3x48x320 scores=('lines %' 'chars %') training=(--batch 16 --optimizer adamw --lr 0.002 --warmup 0.1)
      prepare=(--scale 0.00392156862745098 --mean 0.5,0.5,0.5 --std 0.5,0.5,0.5) ;;
    v[34]-det) kind=pages shape=1x3x640x640 scores=('hmean %' 'recall %') training=(--batch 4 --optimizer adamw --lr 0.001 --warmup 0.1)
      prepare=(--scale 0.00392156862745098 --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225) ;;
    *) echo "run.sh: no model $model" >&2; exit 2 ;;
  esac
  float=$(echo "$cache/$version"/*_"${model#*-}"_infer.onnx)
  work=$out/$model
  mkdir -p "$work"
  echo "== $model"
  render training $kind 3 "$([ $kind = lines ] && echo $training_lines || echo $training_pages)"
  render calibration $kind 2 $calibration
  render test $kind 1 "$([ $kind = lines ] && echo $test_lines || echo $test_pages)"
  reduce
  {
    printf '%-10s %8s %9s %8s %9s %12s %8s %8s\n' step MB MMACs 'min ms' 'calls/s' '$/million' "${scores[@]}"
    row float "$float"
    row pruned "$work/pruned.onnx"
    row repaired "$work/repaired.onnx"
    row tuned "$work/tuned.onnx"
    row int8 "$work/int8.tslim"
  } | tee "$work/table.txt"
done
jq -s . "$out"/*/*.row.json >"$out/results.json"
echo "== one core of $(grep -m1 'model name' /proc/cpuinfo | sed 's/.*: //'); a core costs $price dollars an hour; all files are in $out"
