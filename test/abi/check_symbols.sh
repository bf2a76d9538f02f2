#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The library's names and size: the shared one exports tslim_* alone, as listed in symbols.txt; the static one has
# no main, no constructor, and no global name without tsl; the stripped shared one stays small.
# usage: check_symbols.sh BUILD
set -euo pipefail
build=$1 here=$(dirname "$0")
shared=$build/lib/libtinyslim.so static=$build/lib/libtinyslim.a
status=0
complain() { echo "$*"; status=1; }

exported=$(nm -D --defined-only "$shared" | awk '{print $3}' | grep -v '^TINYSLIM_' | sed 's/@.*//' | sort)
other=$(grep -v '^tslim_' <<<"$exported" || true)
[ -z "$other" ] || complain "exported without tslim_: $other"
diff <(sort "$here/symbols.txt") - <<<"$exported" || complain "the exported symbols are not those of symbols.txt"

while read -r name; do
  grep -qx "$name" <<<"$exported" || complain "declared but not defined: $name"
done < <(grep -hzoE 'TSLIM_API [^;]*;' "$here"/../../include/tinyslim/*.h | tr '\0\n' '  ' | grep -oE 'TSLIM_API [^;(]*\(' | grep -oE 'tslim_[a-z0-9_]+\(' | tr -d '(' | sort -u)

globals=$(nm -g --defined-only "$static" 2>/dev/null | awk 'NF == 3 {print $3}' | sort -u)
other=$(grep -vE '^_?_?tsl' <<<"$globals" || true)
[ -z "$other" ] || complain "global names in the static archive without tsl: $other"
if objdump -h "$static" 2>/dev/null | grep -qE '\.(init_array|ctors)'; then complain "the static archive has a constructor"; fi

stripped=$(mktemp)
strip -o "$stripped" "$shared"
bytes=$(stat -c %s "$stripped")
rm -f "$stripped"
echo "stripped libtinyslim.so: $bytes bytes, $(wc -l <<<"$exported") symbols"
[ "$bytes" -lt 2000000 ] || complain "larger than 2,000,000 bytes"
exit $status
