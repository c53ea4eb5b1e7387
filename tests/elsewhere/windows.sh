# What only Windows does in its own way: names of files, rights, locks, Ctrl-C; sourced by `run`.

# in_there ARGUMENTS…: the command in the folder `there`.
in_there() { (cd there && "${there[@]}" "$@" > out 2> err); }
quick=(--hidden 8 --layers 1 --batch 4 --unroll 16 --no-samples --threads 1)

# refused WORDS ARGUMENTS…: it ends with code 1 and a sentence that has these words.
refused() {
    local code=0
    in_there "${@:2}" || code=$?
    [[ $code == 1 ]] && grep -q "^karenina: .*$1" there/err || { echo "code $code: $(cat there/err)"; false; }
}

only_windows() {
    mkdir "there/Мои книги"
    small_text > "there/Мои книги/Анна Каренина.txt"
    check "names with spaces and Cyrillic letters" foreign_names
    check "--overwrite" overwritten
    check "a second trainer is refused, readers are not" second_trainer
    check "a disk that cannot be written is refused" read_only
    check "a checkpoint that is read-only is neither changed nor in the way" read_only_file
    check "Ctrl-C" interrupted
}

foreign_names() {
    local text='Мои книги\Анна Каренина.txt' run='Мои книги\первый запуск'
    in_there train "$text" "${quick[@]}" --steps 20 --run "$run" || { cat there/err; return 1; }
    (cd here && "$KARENINA" train "../there/${text/\\//}" "${quick[@]}" --steps 20 --run named > out 2> err) || return
    [[ $(numbers "there/${run/\\//}/i20_l8.ckpt") == "$(numbers here/named/i20_l8.ckpt)" ]] || { echo "other numbers"; return 1; }
    in_there train "$text" --resume --steps 30 --run "$run" --no-samples || { cat there/err; return 1; }
    in_there sample --run "$run" --length 10 && in_there report "$text" --run "$run" --out 'Мои книги\страница.html' &&
        in_there export --run "Z:${PWD//\//\\}\\there\\$run" --out 'Мои книги\сеть.safetensors' || { cat there/err; return 1; }
    [[ -s "there/Мои книги/страница.html" && -s "there/Мои книги/сеть.safetensors" ]]
}

overwritten() {
    in_there train "${quick[@]}" --steps 4 --run again || { cat there/err; return 1; }
    refused 'again.*run' train "${quick[@]}" --steps 2 --run again || return
    in_there train "${quick[@]}" --steps 2 --overwrite --run again || { cat there/err; return 1; }
    [[ $(newest there/again) == there/again/i2_l8.ckpt && -z $(find there/again -name 'replaced-*') ]]
}

# The first goes on until it is killed; what it writes can be read all the while.
second_trainer() {
    local id held=0 n
    (cd there && exec "${there[@]}" train "${quick[@]}" --epochs 100000 --save-every 5 --keep-checkpoints 2 --run held > held.out 2> held.err) &
    id=$!
    until (($(step_of there/held) >= 10)); do sleep 0.05; done
    refused 'another process is training here' train "${quick[@]}" --resume --run held || held=1
    refused 'another process is training here' train "${quick[@]}" --overwrite --run held || held=1
    for n in 1 2 3 4 5; do
        in_there checkpoints --run held && in_there sample --run held --length 5 || { cat there/err && held=1; }
    done
    kill -0 $id || { cat there/held.err && held=1; }
    kill -9 $id 2> /dev/null && wait $id 2> /dev/null
    ! grep -q 'panicked\|cannot' there/held.err || { cat there/held.err && held=1; }
    in_there train "${quick[@]}" --resume --steps $(($(step_of there/held) + 5)) --run held || { cat there/err && held=1; }
    return $held
}

read_only() {
    local held=0
    mkdir there/locked
    if ! mount -t tmpfs -o ro none there/locked 2> /dev/null; then
        echo "LEFT OUT: tmpfs cannot be mounted here"
        return
    fi
    refused 'locked' train "${quick[@]}" --steps 2 --run 'locked\run' || held=1
    refused 'locked' train "${quick[@]}" --steps 2 --run locked || held=1
    cat there/err
    umount there/locked
    return $held
}

read_only_file() {
    local sum
    in_there train "${quick[@]}" --steps 4 --save-every 1 --run marked || { cat there/err; return 1; }
    chmod 444 there/marked/i1_l8.ckpt
    sum=$(sha256sum < there/marked/i1_l8.ckpt)
    in_there train "${quick[@]}" --resume --steps 8 --save-every 1 --keep-checkpoints 2 --run marked || { cat there/err; return 1; }
    cat there/err
    ! grep -q panicked there/err && [[ ! -e there/marked/i1_l8.ckpt || $(sha256sum < there/marked/i1_l8.ckpt) == "$sum" ]]
}

# As a console sends it to all that run in it; Wine makes a console of a terminal.
interrupted() {
    local code=0 line
    x86_64-w64-mingw32-gcc-posix -O1 -municode -o interrupt.exe "$folder/interrupt.c" || return
    line=$(printf '%q ' "${emulator[@]}" ../interrupt.exe 'stopped\i5_l8.ckpt' "${there[-1]}" train "${quick[@]}" \
        --epochs 100000 --save-every 5 --run stopped)
    (cd there && timeout -k 5 120 script -qec "$line > out 2> err" /dev/null < /dev/null > /dev/null) || code=$?
    ((code == 130)) || { echo "code $code: $(cat there/err)"; return 1; }
    grep -q 'To continue: ' there/err || { cat there/err; return 1; }
    in_there train "${quick[@]}" --resume --steps $(($(step_of there/stopped) + 2)) --run stopped || { cat there/err; false; }
}
