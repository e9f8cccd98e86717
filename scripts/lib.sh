# Shared by the scripts in this folder; sourced, not run. Bash.
# Debian's own programs first: a Python, CMake or JDK from elsewhere on PATH does not see Debian's modules.
export PATH="/usr/bin:/bin:/usr/sbin:/sbin:$PATH"

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export CCACHE_DIR="${CCACHE_DIR:-$ROOT/.cache/ccache}"
export CCACHE_BASEDIR="$ROOT"

say() { if [ -t 2 ]; then printf '\033[1m==>\033[0m %s\n' "$*" >&2; else printf '==> %s\n' "$*" >&2; fi; }
die() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; exit 1; }

# The comment block at the top of a script is its help.
print_help() { sed -n '2,/^[^#]/{/^#/!d;s/^# \{0,1\}//;p}' "$1"; }

# Parallel jobs: one per core, but not more than memory allows (the largest unit takes about 1.5 GB).
parallel_jobs() {
  local cores memory
  cores=$(nproc)
  memory=$(awk '/^MemAvailable:/ {print int($2 / 1500000)}' /proc/meminfo)
  [ "${memory:-1}" -ge 1 ] || memory=1
  echo $((cores < memory ? cores : memory))
}

# Runs a command as root.
as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    die "this needs root: run it as root, or install sudo ($*)"
  fi
}

# Tracked and new files of ours that match the patterns, one per line. Works in a checkout of another user too.
source_files() { git -c safe.directory="$ROOT" -C "$ROOT" ls-files --cached --others --exclude-standard "$@"; }
