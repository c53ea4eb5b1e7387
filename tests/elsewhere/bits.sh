# The same work here and on the other system, whose bits are compared; sourced by `run`.

# All that a checkpoint can hold: validation, dropout, a descent, decay. The network is small, as QEMU computes every
# number by itself, but wider than a register and not a multiple of one.
steps=120
training=(train --hidden 21 --layers 2 --batch 16 --unroll 24 --validation 2 --keep 0.8 --descent 10..160
    --weight-decay 0.01 --save-every 20 --no-samples --threads 2)
last=i${steps}_l21.ckpt

# both ARGUMENTS…: the command in the folders `here` and `there`; what it says goes to `out` and `err`.
both() {
    (cd here && "$KARENINA" "$@" > out 2> err) || fail "here, $*: $(cat here/err)"
    (cd there && "${there[@]}" "$@" > out 2> err) || { echo "there, $*: $(cat there/err)"; false; }
}

same() { cmp "here/$1" "there/$1"; }
same_output() { both "$@" && same out; }
same_page() { both "$@" --run run && same page.html && same out; } # it ends with: where the page goes
same_numbers() { [[ $(numbers "here/run/$last") == "$(numbers "$1/$last")" ]]; }
same_log() { [[ $(timeless here/run/log.csv) == "$(timeless "$1/log.csv")" ]]; }

# As a run's newest checkpoint says, or 0.
step_of() { newest "$1" 2> /dev/null | sed 's/.*\/i\([0-9]*\)_.*/\1/' | grep . || echo 0; }

# killed FOLDER: a run there that is killed somewhere in the middle.
killed() {
    local id step=$steps
    while ((step >= steps)); do
        rm -rf "there/$1"
        (cd there && exec "${there[@]}" "${training[@]}" --steps $steps --run "$1" > out 2> err) &
        id=$!
        until (($(step_of "there/$1") >= 40)); do
            sleep 0.02
            kill -0 $id 2> /dev/null || { cat there/err; return 1; }
        done
        kill -9 $id 2> /dev/null && wait $id 2> /dev/null || true
        step=$(step_of "there/$1")
    done
    echo "killed after the save of step $step"
}

resumed() { (cd there && "${there[@]}" train --resume --no-samples --threads 1 --steps $steps --run "$1" > out 2> err) || { cat there/err; false; }; }

bits() {
    mkdir here there
    head -c 6000 "$repository/data/linden-ford.txt" > part
    check "train" both "${training[@]}" --steps $steps --run run
    check "train: the same weights, moments and states" same_numbers there/run
    check "train: the same log" same_log there/run
    check "train, killed" killed killed
    check "resume" resumed killed
    check "resume: the same weights, moments and states" same_numbers there/killed
    check "resume: the same log" same_log there/killed
    moved
    check "sample" same_output sample --run run --seed 7 --length 500
    check "sample, 16-bit weights" same_output sample --run run --seed 7 --length 500 --weights bf16 --temperature 0.7
    check "eval" same_output eval ../part --run run --json
    check "eval --dynamic" same_output eval ../part --run run --json --dynamic
    check "report" same_page report --out page.html
    check "trace" same_page trace "The letter" --html page.html
    check "trace --numbers" same_output trace "The letter" --run run --numbers
    check "gradcheck" same_output gradcheck
    check "export" both export --run run --out model.safetensors
    check "export: the same bytes" same model.safetensors
    check "import" both import model.safetensors --run imported
    check "the lab's answers" lab
}

# A run begun on either system goes on on the other.
moved() {
    local half=$((steps / 2))
    both "${training[@]}" --steps $half --run half || return 0
    mv here/half here/other && mv there/half here/half && mv here/other there/half
    check "resume what the other system began" both "${training[@]}" --steps $steps --resume --run half
    check "resume what the other system began: the same numbers there" same_numbers there/half
    check "resume what the other system began: the same numbers here" same_numbers here/half
}

# What the lab's pages would show.
lab() {
    local text='"text":"The letter from the railway company"' place question id
    for place in here there; do
        [[ $place == here ]] && command=("$KARENINA") || command=("${there[@]}")
        (cd $place && exec "${command[@]}" lab --run run > address 2> err) &
        id=$!
        until [[ -s $place/address ]]; do sleep 0.1; kill -0 $id 2> /dev/null || { cat $place/err; return 1; }; done
        for question in "walk {\"network\":\"0\",$text}" \
            "equations {\"network\":\"0\",$text,\"step\":9,\"layer\":1,\"unit\":7}" \
            "reach {\"networks\":[\"0\"],$text,\"at\":20,\"window\":16}"; do
            curl -sS --data "${question#* }" "$(tr -d '\r\n' < $place/address)api/${question%% *}"
        done > $place/answers
        kill $id
        wait $id 2> /dev/null || true
    done
    (($(wc -c < here/answers) > 1000)) && same answers
}
