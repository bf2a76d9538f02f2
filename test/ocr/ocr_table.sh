#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The table of INT8 quality on text, with a release build of its own; half an hour on two cores. Arguments are those of
# ocr_table.py: ./test/ocr/ocr_table.sh v4-rec --lines 200
cd "$(dirname "$0")/../.."
source test/setup.sh

fonts=(fonts-wqy-microhei fonts-wqy-zenhei fonts-arphic-uming fonts-arphic-ukai fonts-dejavu-core fonts-dejavu-extra
  fonts-liberation)
install_packages "${fonts[@]}"
"$PYTHON" -c 'import PIL, cv2' 2>/dev/null ||
  "$PYTHON" -m pip install -q --disable-pip-version-check pillow opencv-python-headless
# The older models, in a folder of their own: the tests run over all models of the other.
older=$TSLIM_CACHE/ocr-models
if [ ! -f "$older/ch_PP-OCRv3_rec_infer.onnx" ]; then
  mkdir -p "$older"
  wheels=$(mktemp -d)
  "$PYTHON" -m pip download -q --disable-pip-version-check --no-deps -d "$wheels" rapidocr-onnxruntime==1.2.3
  unzip -qnjd "$older" "$wheels"/*.whl '*PP-OCRv3*.onnx'
  rm -rf "$wheels"
fi

folder=${TSLIM_BUILD:-build-test}/release
[ -f "$folder/build.ninja" ] || meson setup "$folder" -Dbuildtype=release >/dev/null
ninja -C "$folder" tools/tinyslim >/dev/null
TSLIM_OLDER_MODELS=$older TINYSLIM=$folder/tools/tinyslim exec "$PYTHON" test/ocr/ocr_table.py "$@"
