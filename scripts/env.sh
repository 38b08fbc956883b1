# shellcheck shell=bash disable=SC2034
# Sourced by every script, and by hand before a plain `cargo build`: what a build of Remora needs in its environment.
# It must only set variables and functions: no download, no output.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
cache=${REMORA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/remora}
rust=$(sed -n 's/^channel = "\(.*\)"/\1/p' "$root/rust-toolchain.toml")
bpf_linker=0.13.0

# A stable compiler with `-Z build-std` for the BPF target only, and the linker that `scripts/setup` built.
export RUSTC_BOOTSTRAP=1
export PATH="$target/tools/bin:${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"

say() { printf '==> %s\n' "$*" >&2; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# Runs a command as root: directly, or by sudo.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"
    elif have sudo; then sudo "$@"
    else say "needs root and sudo is not installed: $*"; return 1
    fi
}

# Installs Debian packages without questions, and without starting the services that some of them bring.
apt_install() {
    have apt-get || { say "apt-get is not here, install by hand: $*"; return 1; }
    apt_update && as_root sh -c '
        policy=/usr/sbin/policy-rc.d
        if [ ! -e "$policy" ]; then
            trap "rm -f $policy" EXIT
            printf "#!/bin/sh\nexit 101\n" >"$policy" && chmod +x "$policy"
        fi
        DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@" </dev/null >/dev/null' sh "$@"
}

# Refreshes the package lists, once a run.
apt_update() {
    [ -n "${apt_updated:-}" ] || { as_root apt-get update -qq </dev/null >&2 && apt_updated=1; }
}

# Copies a finished tool into the cache by renaming, so that an interrupted run leaves no half of one.
keep() {
    mkdir -p "$(dirname "$2")"
    cp -R "$1" "$2.$$"
    rm -rf "$2"
    mv "$2.$$" "$2"
}

# Installs a cargo tool of an exact version into the cache: cargo_tool NAME VERSION.
cargo_tool() {
    local kept=$cache/$1-$2
    [ -x "$kept/bin/$1" ] || { say "installing $1 $2" && cargo install --quiet --locked "$1" --version "$2" --root "$kept"; }
}
