# The suites of engine and command on the other system; sourced by `run`.

# Tests that fail under the emulator although nothing is wrong, each with its reason.
skipped_arm=(
    # A program that starts itself: the kernel knows nothing of the emulator.
    a_lab_that_does_not_start_says_why_once
    lab::beside::
    # QEMU catches every signal itself, so /proc does not say which are ignored.
    a_run_under_nohup_outlives_its_terminal
    # Files of 128 MiB, again and again.
    a_hostile_list_of a_wrong_checksum_takes an_honest_file_of a_save_takes_a_buffer an_honest_model_of
    # They measure time or memory, and would measure the emulator's; browsers need both processors at their speed.
    a_network_that_no_machine_holds memory::a_text_of memory::any_number memory::memory_is memory::a_run_goes memory::a_long_text
    profile::
    lab::browser:: profile_browser:: report_browser::
)
skipped_windows=(
)

# build: the command and the tests, as they are released. Thirty copies of one file that run for milliseconds are
# not worth optimising, here as elsewhere. Sets `there`, the command's beginning on the other system.
build() {
    (cd "$repository" && cargo test --locked --release -p karenina -p karenina-cli --lib --bins --tests --no-run \
        "${built[@]}" --target-dir "$cache/$system" --config 'profile.release.package.karenina-mutants.opt-level=0' \
        --message-format=json-render-diagnostics > "$work/built") || fail "it does not compile"
    local made=$cache/$system/$target/release
    local command=$made/karenina$suffix
    if [[ $system == windows ]]; then
        cp "$cache/bcryptprimitives.dll" "$made"
        cp "$cache/bcryptprimitives.dll" "$made/deps"
        there=("${emulator[@]}" "$command")
    else # the tests start the command by its name, and find the emulator there
        mv "$command" "$command.there"
        printf '#!/bin/sh\nexec %s -0 "$0" "%s" "$@"\n' "${emulator[*]}" "$command.there" > "$command"
        chmod +x "$command"
        there=("$command")
    fi
}

# Runs each program of tests in the folder in which cargo would.
suites() {
    local home program package skips=() programs=0
    local -n skipped=skipped_$system
    for name in "${skipped[@]}"; do skips+=(--skip "$name"); done
    while IFS=$'\t' read -r home program; do
        [[ $home == "$repository" ]] && package=engine || package=command
        programs=$((programs + 1))
        suite || true
        check "$package, $(basename "$program" | sed 's/-[0-9a-f]*\(\.exe\)*$//'): $result" test "$code" = 0
        ((code != 0)) || [[ $result == *[1-9]*" passed"* ]] || fail "$program has tested nothing: $result"
        ((code == 0)) || sed -n '/^failures:/,$p' tested
    done < <(sed -n '/"profile":{[^}]*"test":true/s/.*"manifest_path":"\([^"]*\)\/Cargo.toml".*"executable":"\([^"]*\)".*/\1\t\2/p' built)
    # The units and the tests of the engine and of the command, and the engine's test of memory.
    ((programs >= 5)) || fail "only $programs suites were found"
}

# One of them; sets `code` and `result`.
suite() {
    code=0
    (cd "$home" && timeout -k 5 3600 env -u KARENINA_COMPLETE "${emulator[@]}" "$program" "${skips[@]}" < /dev/null) > tested 2>&1 || code=$?
    tr -d '\r' < tested > tested.lf && mv tested.lf tested
    result=$(sed -n 's/^test result: [A-Za-z]*\. \(.* failed\);.* \([0-9]* filtered\).*/\1, \2 out/p' tested)
    [[ -n $result ]] || result="ended with $code: $(tail -1 tested)"
}
