# Sourced by the other scripts: strict mode, the repository's root as working directory, and how they speak.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf '%s: %s\n' "${0#"$PWD"/}" "$*" >&2; }
die() {
  say "$*"
  exit 1
}

# build_folder PRESET: where CMakePresets.json puts it.
build_folder() { [ "$1" = release ] && echo build || echo "build-$1"; }
