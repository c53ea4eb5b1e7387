# A compiler for the other system, and what runs its programs here; sourced by `run`.

# missing WHAT HOW: says what is missing, and ends without a fault.
missing() {
    [[ -z ${KARENINA_COMPLETE:-} ]] || fail "left out: $1 is not here; $2"
    echo "LEFT OUT: $1 is not here; $2"
    exit 0
}

# tool COMMAND PACKAGE…: installs what is missing where we may.
tool() {
    ! command -v "$1" > /dev/null || return 0
    if [[ $(id -u) == 0 ]] && command -v apt-get > /dev/null; then
        apt-get update -qq && apt-get install -y -qq --no-install-recommends "${@:2}" > /dev/null || true
    fi
    command -v "$1" > /dev/null || missing "$1" "on Debian: apt-get install ${*:2}"
}

# Whether this compiler has the target's library.
has_library() { [[ -d $("$1" --print target-libdir --target "$target" 2> /dev/null) ]]; }

# compiler PACKAGE: the one on the path, if rustup has given it the target's library. Otherwise Debian's, with the
# library from this package. It is unpacked into a folder of its own, so nothing that is installed is touched.
compiler() {
    built=(--target "$target")
    ! has_library "${RUSTC:-rustc}" || return 0
    [[ -f $cache/rust/has-$1 ]] || unpack "$1" || missing "a library for $target" "rustup target add $target"
    local rust=$cache/rust/usr
    printf '#!/bin/sh\nLD_LIBRARY_PATH=%q exec %q "$@"\n' "$rust/lib/x86_64-linux-gnu" "$rust/bin/rustc" > "$cache/rustc"
    chmod +x "$cache/rustc"
    export RUSTC=$cache/rustc
    has_library "$RUSTC" && return
    # There is only the library's source, so it is built with the program, which a stable compiler does not offer.
    export RUSTC_BOOTSTRAP=1
    built+=(-Zbuild-std=std,panic_unwind)
}

# unpack PACKAGE: it and Debian's newest compiler. The lists of packages are our own too, for both processors.
unpack() {
    command -v apt-get > /dev/null || return
    local apt=(-qq -o "Dir::State::Lists=$cache/apt/lists" -o "Dir::Cache=$cache/apt"
        -o APT::Architectures::=amd64 -o APT::Architectures::=arm64) library llvm
    mkdir -p "$cache/apt/lists/partial" "$cache/apt/archives/partial" "$cache/packages" "$cache/rust"
    apt-get "${apt[@]}" update || return
    library=$(depends libstd-rust-web-dev libstd-rust)
    llvm=$(depends "$library" libllvm)
    [[ -n $library && -n $llvm ]] || return
    (cd "$cache/packages" && rm -f ./*.deb &&
        apt-get "${apt[@]}" download rustc-web libstd-rust-web-dev "$library" "$llvm" "$1" 2> /dev/null) || return
    for package in "$cache"/packages/*.deb; do dpkg -x "$package" "$cache/rust" || return; done
    touch "$cache/rust/has-$1"
}

# depends PACKAGE NAME: which package it needs whose name begins so.
depends() { apt-cache "${apt[@]:1}" depends "$1" | sed -n "s/.*Depends: \($2.*\)/\1/p" | head -1; }

# --- what each system needs; sets `target`, `suffix` (of a program), `emulator` and `built` (options of cargo) ---
arm() {
    target=aarch64-unknown-linux-gnu suffix=
    tool qemu-aarch64-static qemu-user-static
    tool aarch64-linux-gnu-gcc gcc-aarch64-linux-gnu libc6-dev-arm64-cross
    compiler libstd-rust-web-dev:arm64
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
    emulator=(qemu-aarch64-static -L /usr/aarch64-linux-gnu)
}

windows() {
    target=x86_64-pc-windows-gnu suffix=.exe
    PATH=$PATH:/usr/lib/wine # where Debian has what its package `wine` only gives another name
    tool wine64 wine64
    tool x86_64-w64-mingw32-gcc-posix gcc-mingw-w64-x86-64-posix
    compiler rust-web-src
    wine_s_gaps "$(command -v x86_64-w64-mingw32-gcc-posix)"
    export WINEPREFIX=$cache/wine WINEDEBUG=-all WINEDLLOVERRIDES='mscoree,mshtml='
    emulator=(wine64)
    wine64 wineboot -i > /dev/null 2>&1
}

# wine_s_gaps COMPILER: what `wine.c` has goes into every program and beside it.
wine_s_gaps() {
    mkdir -p "$cache/linker"
    "$1" -O1 -DLIBRARY -shared -o "$cache/bcryptprimitives.dll" "$folder/wine.c" -ladvapi32
    "$1" -O1 -c -o "$cache/linker/signal.o" "$folder/wine.c"
    printf '#!/bin/sh\nexec %q %q "$@"\n' "$1" "$cache/linker/signal.o" > "$cache/linker/$(basename "$1")"
    chmod +x "$cache/linker/$(basename "$1")"
    PATH=$cache/linker:$PATH
    export CARGO_TARGET_X86_64_PC_WINDOWS_GNU_LINKER=${1##*/}
}
