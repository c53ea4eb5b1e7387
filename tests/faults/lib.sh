# Shared by the scripts of this folder; sourced, not run. $KARENINA is the command under test.
set -Eeuo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
KARENINA=${KARENINA:-$here/../../target/release/karenina}
work=$(mktemp -d -p "${TMPDIR:-/var/tmp}") # on a disk, where writing takes a while
trap 'jobs -p | xargs -r kill -9 2>/dev/null || true; rm -rf "$work"' EXIT

trap 'echo "FAILED: line $LINENO of $0: $BASH_COMMAND" >&2' ERR

fail() { printf 'FAILED: %s\n' "$*" >&2; exit 1; }

# left_out WHAT: it cannot be tried here. Where everything is there ($KARENINA_COMPLETE), that is a fault.
left_out() {
    [[ -z ${KARENINA_COMPLETE:-} ]] || fail "left out: $*"
    echo "LEFT OUT: $*"
}

# The numbers of a checkpoint (weights, moments, state), without the history and its times.
numbers() {
    local at=108 numbers # choice, vocabulary and history: the length of each, its bytes, and numbers before the next
    for numbers in 256 0 0; do
        at=$((at + 8 + $(od -An -t u8 -j "$at" -N 8 "$1") + numbers))
    done
    tail -c +$((at + 1)) "$1" | sha256sum
}

# The log without its last columns, the seconds and the run's name.
timeless() { sed 's/,[^,]*,[^,]*$//' "$1"; }

# A text to learn: 4,000 characters of 20 kinds.
small_text() { for i in $(seq 4000); do printf "\\x$(printf %x $((97 + i * i % 19)))"; done; }

# The newest checkpoint in a folder, by its step.
newest() { find "$1" -maxdepth 1 -name 'i*_l*.ckpt' | sort -V | tail -1; }
