# Faults of a job of several ranks; sourced by `run`.

# begin N FOLDER [EVERY]: an endless run on N ranks in the background, which saves often; $job is its launcher.
begin() {
    local n=$1 folder=$2 every=${3:-7} mode=--resume
    [[ -n $(newest "$folder" 2> /dev/null) ]] || mode=--overwrite
    : > messages # it may be read before the launcher is there
    "$MPIRUN" "${options[@]}" -n "$n" "${train[@]}" --threads 1 --epochs 1000000 --save-every "$every" \
        --keep-checkpoints 3 "$mode" --run "$folder" < /dev/null > out 2> messages &
    job=$!
}

# seen WORDS: they are among the messages within twenty seconds.
seen() {
    local i
    for ((i = 0; i < 400; i++)); do
        ! grep -q "$1" messages || return 0
        sleep 0.05
    done
    fail "it does not say $1: $(cat messages)"
}

# The processes of the ranks, rank 0 first; each has its number in its environment.
processes() {
    local pid
    for pid in $(pgrep -x karenina); do
        [[ $(readlink "/proc/$pid/exe") == "$work/karenina" ]] || continue
        printf '%s %s\n' "$(tr '\0' '\n' 2> /dev/null < "/proc/$pid/environ" |
            sed -n 's/^\(OMPI_COMM_WORLD_RANK\|PMI_RANK\)=//p' | head -1)" "$pid"
    done | sort -n | cut -d ' ' -f 2
}

step_of() { basename "$(newest "$1")" | sed 's/i\([0-9]*\)_.*/\1/'; }

# over SECONDS: all ranks and their launcher end by themselves within so long.
over() {
    local i
    for ((i = 0; i < $1 * 20; i++)); do
        [[ -n $(processes) ]] || kill -0 "$job" 2> /dev/null || return 0
        sleep 0.05
    done
    fail "it has not ended: $(cat messages)"
}

# survived FOLDER: after any fault the newest checkpoint loads, and none is damaged.
survived() {
    checks=$((checks + 1))
    ! grep -q 'panicked\|damaged' messages || fail "$(cat messages)"
    local newest
    newest=$(newest "$1")
    [[ -n $newest ]] || fail "no checkpoint: $(cat messages)"
    ./karenina sample --run "$newest" --length 1 > out 2>&1 || fail "$newest: $(cat out)"
}

# goes_on FOLDER: another number of ranks makes twenty more steps, to the bits of one process that made all of them.
goes_on() {
    local end
    end=$(($(step_of "$1") + 20))
    local ended=("${train[@]}" --threads 1 --epochs 1000000 --steps $end --save-every 1000000)
    ranks $((1 + RANDOM % 4)) "${ended[@]}" --resume --run "$1" > out 2> messages || fail "$(cat messages)"
    "${ended[@]}" --overwrite --run straight > out 2> messages || fail "$(cat messages)"
    [[ $(numbers "$1/i${end}_l12.ckpt") == "$(numbers "straight/i${end}_l12.ckpt")" ]] || fail "other numbers: $1"
    [[ $(timeless "$1/log.csv") == "$(timeless straight/log.csv)" ]] || fail "another log: $1"
    checks=$((checks + 1))
}

pause() { sleep "$((RANDOM % 2)).$(printf %03d $((RANDOM % 1000)))"; }

# --- SIGKILL for any rank at any moment, each life on another number of ranks ---
kill_ranks() {
    local i=0 pids
    while ((i < kills)); do
        begin $((2 + RANDOM % 3)) killed
        pause
        mapfile -t pids < <(processes)
        if ((${#pids[@]} == 0)); then
            kill -9 $job # before there are ranks, it is the launcher, which does not count
        elif kill -9 "${pids[RANDOM % ${#pids[@]}]}" 2> /dev/null; then
            i=$((i + 1))
        fi
        over 20
        wait $job 2> /dev/null && fail "it was not killed: $(cat messages)"
        [[ -z $(newest killed 2> /dev/null) ]] || survived killed
    done
    goes_on killed
    echo "killed a rank $kills times, at step $(step_of killed): the same bits"
}

kill_launcher() {
    local i
    for ((i = 0; i < launchers; i++)); do
        begin 3 orphaned
        seen saved
        pause
        kill -9 $job
        wait $job 2> /dev/null || true
        over 20
        survived orphaned
    done
    goes_on orphaned
    echo "killed the launcher $launchers times: the ranks end, the same bits"
}

# --- a disk that is full where rank 0 writes ---
full_disk() {
    if ! mkdir full || ! mount -t tmpfs -o size=300k none full 2> /dev/null; then
        left_out "tmpfs cannot be mounted here"
        return
    fi
    local code=0
    ranks 3 "${train[@]}" --threads 1 --steps 400 --save-every 10 --on-save-error stop --run full > out 2> messages || code=$?
    ((code == 1)) && grep -q 'No space left' messages || fail "code $code: $(cat messages)"
    over 20
    cp -r full room
    umount full
    survived room
    goes_on room
    echo "full disk on rank 0: reported, the same bits"
}

# stopped SIGNAL WHOM: it finishes the step, saves and ends.
stopped() {
    local pids code=0
    rm -rf stopped
    begin 3 stopped 1000000
    seen 'step 1/'
    sleep 0.5
    mapfile -t pids < <(processes)
    case $2 in
        all) kill "-$1" "${pids[@]}" ;;
        launcher) kill "-$1" $job ;;
        *) kill "-$1" "${pids[$2]}" ;;
    esac
    over 20
    wait $job 2> /dev/null || code=$?
    # What a launcher returns that was asked to stop itself is its own affair: MPICH's returns 0.
    [[ $2 == launcher ]] || ((code == 128 + $(kill -l "$1"))) || [[ $flavour != OpenMPI && $code != 0 ]] ||
        fail "$1 to $2: code $code: $(cat messages)"
    (($(step_of stopped) > 0)) || fail "$1 to $2: nothing was saved: $(cat messages)"
    survived stopped
    goes_on stopped
}

signals() {
    local job
    stopped TERM all
    stopped TERM 2
    stopped TERM launcher
    [[ ${#all_ranks[@]} -le 3 ]] || { stopped INT 0; stopped HUP 1; }
    echo "SIGTERM to all ranks, to one or to the launcher: the step was finished and saved"
}

# differs WORDS ARGUMENTS0 : ARGUMENTS1: the second rank is not like the first, and step 1 is never made.
differs() {
    local code=0 words=$1
    shift
    rm -rf differs
    timeout -k 5 60 "$MPIRUN" "${options[@]}" "$@" < /dev/null > out 2> messages || code=$?
    ((code != 0)) && grep -q "^karenina: rank 1 on .*$words" messages || fail "code $code: $(cat messages)"
    [[ ! -e differs ]] || fail "it has begun: $(cat messages)"
    checks=$((checks + 1))
}

differing() {
    local six=(train text --preset article --hidden 12 --batch 16 --unroll 16 --groups 8 --steps 6 --run differs)
    cp karenina other
    printf x >> other
    tr a b < text > changed
    differs 'has --hidden 13, but rank 0 on .* has --hidden 12' \
        -n 1 ./karenina "${six[@]}" : -n 1 ./karenina "${six[@]/#12/13}"
    differs 'the program with the hash' -n 1 ./karenina "${six[@]}" : -n 1 ./other "${six[@]}"
    mkdir -p elsewhere
    cp changed elsewhere/text
    differs 'the text with the hash' -n 1 ./karenina "${six[@]}" : -n 1 sh -c 'cd elsewhere; exec ../karenina "$@"' sh "${six[@]}"
    rm elsewhere/text
    differs 'cannot read text' -n 1 ./karenina "${six[@]}" : -n 1 sh -c 'cd elsewhere; exec ../karenina "$@"' sh "${six[@]}"
    local code=0
    ranks 9 ./karenina "${six[@]}" > out 2> messages || code=$?
    ((code != 0)) && grep -q 'ranks is 9, but must be from 1 to 8' messages || fail "code $code: $(cat messages)"
    checks=$((checks + 1))
    echo "ranks with another setting, program or text, or without a text; more ranks than groups: refused by name"
}

# --- launchers that do not do what the user meant ---
launched() {
    local code=0
    # Two processes of another library's launcher, each of which would train the whole batch.
    OMPI_COMM_WORLD_SIZE=2 PMI_SIZE=2 OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 \
        "${whole[@]}" --run apart < /dev/null > out 2> messages || code=$?
    ((code == 2)) && grep -q 'has started 2 processes, but the MPI library sees each of them alone' messages ||
        fail "code $code: $(cat messages)"
    [[ ! -e apart ]] || fail "it has begun: $(cat messages)"
    checks=$((checks + 1))
    if [[ $flavour == OpenMPI && $(nproc) -gt 1 && $(nproc) -le 8 ]]; then
        rm -rf bound
        timeout -k 5 60 "$MPIRUN" "${options[@]/none/core}" -n 2 "${whole[@]}" --threads 2 --run bound \
            < /dev/null > out 2> messages || fail "$(cat messages)"
        grep -q "rank 1 has 2 threads for 1 of its machine's processors" messages || fail "not said: $(cat messages)"
        same bound "bound ranks"
        # Those that may run on the same cores share them.
        ranks "$(nproc)" "${whole[@]}" --run bound --overwrite > out 2> messages || fail "$(cat messages)"
        grep -q ', 1 thread in the first of ' messages || fail "they do not share: $(cat messages)"
        same bound "ranks that share the cores"
    fi
    echo "another library's launcher: refused; ranks bound to one core: said; ranks that share cores: a thread for each"
}

# --- a processor of another kind: without AVX-512, and without fused multiply-add ---
vector_units() {
    rm -rf mixed
    timeout -k 5 60 "$MPIRUN" "${options[@]}" -n 1 "${whole[@]}" --threads 1 --run mixed : -n 1 \
        env 'KARENINA_KERNEL=portable with FMA' "${whole[@]}" --threads 1 --run mixed < /dev/null > out 2> messages ||
        fail "$(cat messages)"
    grep -q 'rank 1 computes with portable with FMA, rank 0 with ' messages || fail "not said: $(cat messages)"
    same mixed "ranks with different vector units"
    differs 'a processor without fused multiply-add, but rank 0 on .* has a processor with' \
        -n 1 "${whole[@]}" --run differs : -n 1 env KARENINA_KERNEL=portable "${whole[@]}" --run differs
    echo "ranks with different vector units: said by name, the same bits; without fused multiply-add: refused by name"
}

# --- two machines, which are network namespaces here, and the link between them is cut ---
cut_link() {
    local began ended
    if [[ $flavour != OpenMPI || $(id -u) != 0 ]] || ! source "$here/../ranks/hosts.sh"; then
        left_out "a cut link, which takes OpenMPI, root and network namespaces"
        return
    fi
    : > messages
    on_hosts 2 "${train[@]}" --threads 1 --epochs 1000000 --save-every 7 --keep-checkpoints 3 --run cut \
        --rank-timeout 2 > out 2> messages &
    job=$!
    seen 'step 1/'
    sleep 0.5
    link down
    began=$(date +%s)
    until [[ -z $(processes) ]]; do
        (($(date +%s) - began < 30)) || fail "the ranks have not ended: $(cat messages)"
        sleep 0.1
    done
    ended=$(date +%s)
    grep -q 'rank 0: no message from rank 1 for 2 s' messages || fail "no message: $(cat messages)"
    kill -9 $job 2> /dev/null || true # it would wait for the other machine
    wait $job 2> /dev/null || true
    hosts_down
    survived cut
    goes_on cut
    echo "a cut link: the ranks ended after $((ended - began)) s, the same bits"
}
