# SPDX-License-Identifier: Apache-2.0
# Sourced by what installs Debian packages for itself, and by the examples, which build the library first.

# Those of the packages that are not there.
install_packages() {
  local missing=() as_root=()
  for package in "$@"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return
  echo "== installing ${missing[*]}"
  [ "$(id -u)" -eq 0 ] || as_root=(sudo)
  "${as_root[@]}" apt-get update -qq
  DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq "${missing[@]}" >/dev/null
}

# What building the library needs, and the release build in build-quickstart.
library_packages=(build-essential meson ninja-build pkg-config nanopb libnanopb-dev libcjson-dev zlib1g-dev libdeflate-dev libpng-dev
  libjpeg62-turbo-dev liblapacke)
build_library() {
  echo "== building"
  [ -f build-quickstart/build.ninja ] ||
    meson setup build-quickstart --buildtype=release -Dtests=false >build-quickstart.log || { cat build-quickstart.log; exit 1; }
  rm -f build-quickstart.log
  ninja -C build-quickstart --quiet
}
