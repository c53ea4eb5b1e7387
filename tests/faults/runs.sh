# Faults that could mix two runs or take one for broken; sourced by `run`.

# untouched FOLDER COMMAND…: it fails with code 1, and no byte in the folder changes.
untouched() {
    local folder=$1 before code=0
    shift
    before=$(contents "$folder")
    "$@" > out 2> messages || code=$?
    ((code == 1)) || fail "code $code: $(cat messages)"
    [[ $(contents "$folder") == "$before" ]] || fail "$folder was changed: $(cat messages)"
    ! grep -q panicked messages || fail "$(cat messages)"
    checks=$((checks + 1))
}

# Names, kinds and bytes of all that is in a folder, but for the lock, whose bytes are compared too.
contents() { (cd "$1" && find . -printf '%p %y %s\n' | sort && find . -type f | sort | xargs -d '\n' sha256sum); }

# A file that this program cannot read is no reason to begin anew.
unreadable() {
    local file
    "${six[@]}" --run newer > out 2>&1
    for file in newer/i*.ckpt; do printf '\x63' | dd of="$file" bs=1 seek=12 conv=notrunc 2> /dev/null; done
    untouched newer "${six[@]}" --resume --run newer
    grep -q 'newer/i6_l8.ckpt: made by a newer karenina' messages || fail "it does not say so: $(cat messages)"
    if [[ $(id -u) == 0 ]] && command -v setpriv > /dev/null; then
        "${six[@]}" --run denied > out 2>&1
        chown -R 65534:65534 denied
        chown 0:0 denied/i6_l8.ckpt
        chmod 600 denied/i6_l8.ckpt
        untouched denied setpriv --reuid 65534 --regid 65534 --clear-groups "${six[@]}" --resume --run denied
        grep -q 'denied/i6_l8.ckpt.*denied' messages || fail "it does not say so: $(cat messages)"
    fi
    "${six[@]}" --run full > out 2>&1
    for error in EMFILE EIO ENOMEM; do
        untouched full strace -f -o trace -P full/i6_l8.ckpt -e inject=openat:error=$error \
            "${six[@]}" --resume --run full
        grep -q 'full/i6_l8.ckpt' messages || fail "it does not name the file: $(cat messages)"
    done
    echo "a newer, forbidden or unreadable checkpoint: refused, not a byte changed"
}

# A damaged file is passed over, and kept under another name.
damaged() {
    "${train[@]}" 8 --steps 5 --save-every 1 --run damaged > out 2>&1
    printf 'x' | dd of=damaged/i5_l8.ckpt bs=1 seek=600 conv=notrunc 2> /dev/null
    local sum
    sum=$(sha256sum < damaged/i5_l8.ckpt)
    "${six[@]}" --resume --run damaged > out 2> messages || fail "$(cat messages)"
    [[ $(sha256sum < damaged/i5_l8.ckpt.damaged) == "$sum" ]] || fail "the damaged file was not kept"
    [[ $(numbers damaged/i6_l8.ckpt) == "$whole" ]] || fail "other numbers"
    checks=$((checks + 1))
    for file in damaged/i*.ckpt; do truncate -s 100 "$file"; done
    untouched damaged "${six[@]}" --resume --run damaged
    echo "a damaged checkpoint: kept aside; nothing but damaged ones: refused"
}

# A closed session.
hang_up() {
    local code=0
    # This script may itself run under nohup.
    env --default-signal=HUP "${train[@]}" 8 --epochs 100000 --save-every 1000000 --run hung > out 2> messages &
    until [[ -n $(newest hung 2> /dev/null) ]]; do sleep 0.02; done
    sleep 0.3
    kill -HUP $!
    wait $! || code=$?
    ((code == 129)) || fail "SIGHUP: code $code: $(cat messages)"
    (($(basename "$(newest hung)" | sed 's/i\([0-9]*\)_.*/\1/') > 0)) || fail "nothing was saved"
    survived hung messages
    code=0
    (trap '' HUP; exec "${train[@]}" 8 --epochs 100000 --save-every 1000000 --run nohup > out 2> messages) &
    until [[ -n $(newest nohup 2> /dev/null) ]]; do sleep 0.02; done
    kill -HUP $!
    sleep 0.3
    kill -TERM $! || fail "nohup did not hold"
    wait $! || code=$?
    ((code == 143)) || fail "nohup: code $code"
    checks=$((checks + 1))
    echo "SIGHUP: saved; under nohup: ignored"
}

# --overwrite is killed at each call that changes the disk. --resume then never goes on with the old run as
# if it were the new one, the old run is not lost before the new one's first checkpoint is there, and
# --overwrite again always works.
kill_overwrite() {
    local call n old code
    "${six[@]}" --run before --seed 5 > out 2>&1
    old=$(numbers before/i6_l8.ckpt)
    for call in openat write fsync rename renameat unlink rmdir mkdir; do
        for ((n = 1; n < 60; n++)); do
            rm -rf over
            cp -r before over
            code=0
            { strace -f -o trace -e trace=$call -e inject=$call:signal=KILL:when=$n \
                "${six[@]}" --overwrite --run over > out 2> messages; } 2> /dev/null || code=$?
            ((code != 0)) || break # there are fewer calls
            ((code == 137)) || fail "$call $n: code $code: $(cat messages)"
            overwritten
        done
        [[ $call != openat && $call != write && $call != fsync ]] || ((n > 1)) || fail "no $call was met"
        echo "--overwrite killed at $call 1 to $((n - 1)): one run or the other, whole"
    done
}

overwritten() {
    local found code=0
    found=$(find over -name i6_l8.ckpt | while read -r file; do numbers "$file"; done)
    [[ $found == *"$old"* || -e over/i0_l8.ckpt ]] || fail "$call $n: the old run is lost"
    "${six[@]}" --resume --run over > out 2> messages || code=$?
    if ((code == 0)); then
        found=$(numbers over/i6_l8.ckpt)
        [[ $found == "$whole" || $found == "$old" ]] || fail "$call $n: runs are mixed"
        # Only a command that had not yet begun leaves the old run in its place, and then resume says so.
        [[ $found == "$whole" ]] || grep -q "nothing to do" messages || fail "$call $n: $(cat messages)"
    else
        ((code == 1)) && grep -q 'overwrite' messages || fail "$call $n: code $code: $(cat messages)"
        "${six[@]}" --overwrite --run over > out 2> messages || fail "$call $n: $(cat messages)"
        [[ $(numbers over/i6_l8.ckpt) == "$whole" ]] || fail "$call $n: other numbers"
        [[ -z $(find over -name 'replaced-*') ]] || fail "$call $n: the old run is still there: $(cat messages)"
    fi
    checks=$((checks + 1))
}

# The folder goes, and another run's comes in its place: the first one stops and touches nothing. The other run is made
# elsewhere: in a folder that is still empty, the first one would go on.
delete_and_restart() {
    local first code=0
    : > messages
    "${train[@]}" 8 --epochs 100000 --save-every 5 --run taken > out 2> messages &
    first=$!
    until grep -q saved messages; do sleep 0.05; done
    "${six[@]}" --run other > out 2> second || fail "$(cat second)"
    mv taken moved && mv other taken
    wait $first || code=$?
    refused $code messages 'taken.*another run'
    [[ $(numbers taken/i6_l8.ckpt) == "$whole" ]] || fail "other numbers"
    (($(find taken -name '*.ckpt' | wc -l) <= 7)) || fail "both runs are in the folder"
    checks=$((checks + 1))
    echo "a folder taken by another run: the first one stops"
}
