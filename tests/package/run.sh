#!/usr/bin/env bash
# run.sh BUILD CXX: installs BUILD into a fresh prefix beneath it, builds the outside project of this folder against
# that, by find_package and by pkg-config, and runs both, from a prefix that has been moved since.
set -euo pipefail
build=$1 cxx=$2
here=$(cd "$(dirname "$0")" && pwd)
work=$build/package
rm -rf "$work"
mkdir -p "$work"

cmake --install "$build" --prefix "$work/first" >"$work/install.log"
mv "$work/first" "$work/prefix"
prefix=$work/prefix
libdir=$(dirname "$(find "$prefix" -name 'libquern.*' | sort | head -1)")

echo "by find_package"
cmake -S "$here" -B "$work/outside" -G Ninja -DCMAKE_CXX_COMPILER="$cxx" -DCMAKE_PREFIX_PATH="$prefix" \
  -DQUERN_INCLUDE="$prefix/include" >"$work/configure.log"
cmake --build "$work/outside" -- --quiet
"$work/outside/outside"

echo "by pkg-config"
export PKG_CONFIG_PATH=$libdir/pkgconfig
read -ra flags < <(pkg-config --cflags --libs quern | tr '\n' ' '; echo)
"$cxx" -std=c++20 -Wall -Werror "$here/main.cpp" -o "$work/by_pkg_config" "${flags[@]}"
LD_LIBRARY_PATH=$libdir "$work/by_pkg_config"

if [ -e "$prefix/bin/quern" ]; then
  echo "the installed command"
  "$prefix/bin/quern" --version
fi
