#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A folder includes only what its row in docs/architecture.md names. The table here is the same one.
cd "$(dirname "$0")/../.."
declare -A allowed=(
  [base]="base"
  [ir]="base ir"
  [format]="base ir format"
  [pass]="base ir pass"
  [plan]="base ir format pass plan"
  [cpu]="base cpu"
  [data]="base ir format data"
  [evaluate]="base ir format pass plan data evaluate"
  [prune]="base ir format pass plan data evaluate prune"
  [quant]="base ir format pass plan data evaluate prune quant"
  [train]="base ir format pass plan data evaluate prune quant train"
)
# Single files that a row names beside folders: the descriptors of backend.h, and the table of operators.
declare -A allowed_files=([plan]="backend.h" [cpu]="backend.h ir/ops.def ir/op.h ir/attr.h ir/einsum.h ir/tensor.h ir/window.h")
status=0
for folder in lib/*/; do
  name=$(basename "$folder")
  if [ -z "${allowed[$name]:-}" ]; then echo "lib/$name has no row"; status=1; continue; fi
  while IFS=: read -r file line target; do
    first=${target%%/*}
    [[ $target == */* ]] || first=$target
    # Generated headers and files of the folder itself are written without a folder.
    [[ $target == */* || $target == backend.h ]] || continue
    [[ " ${allowed[$name]} " == *" $first "* || " ${allowed_files[$name]:-} " == *" $target "* ]] && continue
    echo "$file:$line includes \"$target\", which lib/$name may not"
    status=1
  done < <(grep -rnoE '^#include "[^"]+"' "$folder" --include='*.[ch]' --include='*.inc' | sed -E 's/#include "([^"]+)"/\1/')
done
# Users of the public interface see nothing else.
grep -rnE '^#include "(base|ir|format|pass|plan|cpu|data|evaluate|prune|quant|train)/' tools examples bindings 2>/dev/null && status=1
exit $status
