# shellcheck shell=bash
# What the scripts share. Sourced, never run.

# The checkout, wherever the caller stands.
# shellcheck disable=SC2034
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# Downloads, the tar of the base image and the build directory live outside the checkout: a fresh clone is warm.
CACHE=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/drey
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$CACHE/target}
# The queries were checked when they were written; a build needs no database.
export SQLX_OFFLINE=${SQLX_OFFLINE:-true}

say() { printf '%s\n' "$*" >&2; }
die() { say "$(basename "$0"): $*"; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }
am_root() { [ "$(id -u)" = 0 ]; }

# Runs a command as root: directly, or through sudo.
as_root() {
    if am_root; then "$@"; else sudo "$@"; fi
}

# Can this user become root without being asked in the middle of the work?
may_be_root() {
    am_root && return 0
    have sudo || return 1
    sudo -n true 2>/dev/null && return 0
    [ -t 0 ] && sudo -v
}

# A word of /etc/os-release: ID, VERSION_CODENAME.
of_this_release() {
    # shellcheck disable=SC1091
    (. /etc/os-release && eval "printf '%s\\n' \"\${$1:-}\"")
}

# The address of the distribution's archive that this machine installs from.
archive_uri() {
    sed -n -E 's/^URIs:[[:space:]]*([^[:space:]]+).*/\1/p; s/^deb[[:space:]]+(\[[^]]*\][[:space:]]+)?([^[:space:]]+).*/\2/p' \
        /etc/apt/sources.list /etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list 2>/dev/null |
        grep -E "/$(of_this_release ID)/?\$" | head -n 1 || true
}

# eventually SECONDS COMMAND…: polls until the command succeeds; its last status when the time is over.
eventually() {
    local limit=$1 until
    shift
    until=$((SECONDS + limit))
    until "$@"; do
        [ "$SECONDS" -lt "$until" ] || return 1
        sleep 0.1
    done
}

# A TCP port of loopback that is free now.
free_port() {
    local port
    while :; do
        port=$((20000 + RANDOM % 12000))
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            printf '%s\n' "$port"
            return 0
        fi
    done
}

# Runs the named program again with the group "docker", where the user was put into it only now.
# Usage, after bootstrap: enter_docker_group "$0" "$@"
enter_docker_group() {
    docker version >/dev/null 2>&1 && return 0
    [ -z "${DREY_IN_DOCKER_GROUP:-}" ] || die "the engine refuses $(id -un): log in again, so that the group docker counts"
    have sg || die "the engine refuses $(id -un): log in again, so that the group docker counts"
    export DREY_IN_DOCKER_GROUP=1
    exec sg docker -c "$(printf '%q ' "$@")"
}
