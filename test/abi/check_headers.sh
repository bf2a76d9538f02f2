#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Each public header compiles alone, as C11 and as C++17, without a warning.
set -euo pipefail
include=$(dirname "$0")/../../include
for header in "$include"/tinyslim/*.h; do
  echo "#include <tinyslim/$(basename "$header")>" | gcc -std=c11 -Wall -Wextra -Wpedantic -Werror -I"$include" -fsyntax-only -x c -
  echo "#include <tinyslim/$(basename "$header")>" | g++ -std=c++17 -Wall -Wextra -Wpedantic -Werror -I"$include" -fsyntax-only -x c++ -
done
echo "$(ls "$include"/tinyslim/*.h | wc -l) headers, C11 and C++17"
