#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what is needed, builds every variant and runs every test; ends with "N passed, N failed".
#   ./test/run.sh            everything
#   ./test/run.sh release    one or more variants by name: release sanitize clang
# Longer checks stand beside this script; CONTRIBUTING.md names them.
cd "$(dirname "$0")/.."
source test/setup.sh
set +e # a failing test is counted, not the end

BUILD=${TSLIM_BUILD:-build-test}
variants=("$@")
[ ${#variants[@]} -gt 0 ] || variants=(release sanitize clang)
passed=0 failed=0

# name, then the command
check() {
  local name=$1 start=$SECONDS
  shift
  if "$@"; then
    passed=$((passed + 1))
    echo "ok    $name ($((SECONDS - start)) s)"
  else
    failed=$((failed + 1))
    echo "FAIL  $name ($((SECONDS - start)) s)"
  fi
}

# Each test of a meson suite is counted by itself.
count_meson_tests() {
  local folder=$1 ok bad
  meson test -C "$folder" --no-rebuild --print-errorlogs 2>&1 | tee "$folder/tests.txt" | grep -E '^ *[0-9]+/[0-9]+|FAIL|\[  FAILED|===' | grep -vE ' OK ' || true
  ok=$(sed -n 's/^Ok: *//p' "$folder/tests.txt")
  bad=$(sed -nE 's/^(Fail|Unexpected Pass|Timeout): *//p' "$folder/tests.txt" | paste -sd+ | bc)
  [ -n "$ok" ] || { ok=0 bad=1; }
  passed=$((passed + ok)) failed=$((failed + bad))
  echo "      $folder: $ok tests passed, $bad failed"
}

build() {
  local variant=$1 compiler=gcc
  local options=(-Dwerror=true)
  case $variant in
    release) options+=(-Dbuildtype=release) ;;
    sanitize) options+=(-Dbuildtype=debugoptimized -Db_sanitize=address,undefined -Db_lundef=false) ;;
    clang) compiler=clang options+=(-Dbuildtype=debugoptimized) ;;
    *) echo "no variant '$variant'"; return 1 ;;
  esac
  local folder=$BUILD/$variant
  [ -f "$folder/build.ninja" ] || CC=$compiler meson setup "$folder" "${options[@]}" >"$BUILD-$variant.log" 2>&1 ||
    { cat "$BUILD-$variant.log"; return 1; }
  rm -f "$BUILD-$variant.log"
  ninja -C "$folder" 2>&1 | grep -E 'warning|error|FAILED|ninja:' | grep -v 'no work to do' | head -40
  return "${PIPESTATUS[0]}"
}

mkdir -p "$BUILD"
export ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
for variant in "${variants[@]}"; do
  check "build $variant" build "$variant"
  count_meson_tests "$BUILD/$variant"
done

# What users meet: the installed library, the command, and agreement with ONNX Runtime.
if [[ " ${variants[*]} " == *" release "* ]]; then
  export TINYSLIM=$PWD/$BUILD/release/tools/tinyslim TSLIM_LIBRARY_FOLDER=$PWD/$BUILD/release/lib
  for script in test/conformance/check_*.py; do check "$(basename "$script" .py)" "$PYTHON" "$script"; done
  for script in test/conformance/check_*.sh test/abi/check_*.sh; do
    [ -f "$script" ] && check "$(basename "$script" .sh)" bash "$script" "$BUILD/release"
  done
fi

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
