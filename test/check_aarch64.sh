#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds the library for AArch64 and runs the kernel tests under QEMU: NEON against portable C, for equality of every
# bit. Says nothing of speed. Installs Debian's cross compiler and qemu-user where they are missing; libraries for
# AArch64 go into the cache, not into the system.
#   ./test/check_aarch64.sh [BUILD]    a folder for the build
set -euo pipefail
cd "$(dirname "$0")/.."
build=${1:-build-aarch64}
cache=${TSLIM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/tinyslim}/aarch64
root=$cache/root
packages=(zlib1g zlib1g-dev libdeflate0 libdeflate-dev libcjson1 libcjson-dev libpng16-16 libpng-dev libjpeg62-turbo
  libjpeg62-turbo-dev libcmocka0 libcmocka-dev libnanopb-dev)

missing=()
for package in gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
  as_root=()
  [ "$(id -u)" -eq 0 ] || as_root=(sudo)
  "${as_root[@]}" apt-get install -y -qq "${missing[@]}" >/dev/null
fi

# apt with a state of its own, which only knows arm64.
if [ ! -f "$root/ready-1" ]; then
  mkdir -p "$cache"/{state/lists/partial,archives/partial} "$root"
  touch "$cache/status"
  cat >"$cache/apt.conf" <<EOF
Dir::State "$cache/state"; Dir::State::status "$cache/status"; Dir::Cache "$cache";
APT::Architecture "arm64"; APT::Architectures { "arm64"; }; APT::Sandbox::User "";
EOF
  APT_CONFIG=$cache/apt.conf apt-get update -qq
  (cd "$cache/archives" && APT_CONFIG=$cache/apt.conf apt-get download -qq "${packages[@]}")
  for archive in "$cache"/archives/*.deb; do dpkg -x "$archive" "$root"; done
  touch "$root/ready-1"
fi

libraries=$root/usr/lib/aarch64-linux-gnu
cat >"$cache/where.ini" <<EOF
[properties]
sys_root = '$root'
pkg_config_libdir = ['$libraries/pkgconfig', '$root/usr/share/pkgconfig']
[built-in options]
c_args = ['-I$root/usr/include', '-I$root/usr/include/aarch64-linux-gnu', '-I$root/usr/include/nanopb']
c_link_args = ['-L$libraries', '-Wl,-rpath,$libraries:$root/lib/aarch64-linux-gnu']
EOF
export QEMU_LD_PREFIX=/usr/aarch64-linux-gnu # where the loader and the C library are
[ -f "$build/build.ninja" ] || meson setup "$build" --cross-file test/aarch64.ini --cross-file "$cache/where.ini" \
  -Dbuildtype=release -Doptimization=2 -Dwerror=true >/dev/null # gcc 12.2 fails at -O3: internal error in a test
ninja -C "$build" tools/tinyslim test/test_gemm test/test_vector test/test_vector_s8 | tail -1
paths=(-E "LD_LIBRARY_PATH=$libraries:$root/lib/aarch64-linux-gnu") # what libraries need in their turn
qemu-aarch64 "${paths[@]}" "$build/tools/tinyslim" --version
for cpu in cortex-a72 max; do # without dot products, and with them
  for name in gemm vector; do
    echo "$cpu: $name"
    qemu-aarch64 "${paths[@]}" -cpu $cpu "$build/test/test_$name" >"$build/$name.txt" 2>&1 || { cat "$build/$name.txt"; exit 1; }
  done
done
echo "AArch64: equal to portable C"
