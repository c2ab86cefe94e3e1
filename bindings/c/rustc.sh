#!/bin/sh
# Runs rustc for cargo (see .cargo/config.toml), and does what cargo has no setting for:
#
# - Optimized builds contain no folder of the machine that made them, neither in panic
#   messages nor in line tables. The folder of this repository becomes ".", those of cargo
#   and rustup become "cargo" and "rustup".
# - libtransom.a exports transom_* only. A static library in Rust contains the standard
#   library, whose symbols would clash with those of another such library in a program.
#
# On systems without ELF, the archive stays as rustc makes it.

root=${0%/bindings/c/*}
previous= optimized= static= name= out= target=
for argument; do
    case $previous in
        --crate-name) name=$argument ;;
        --out-dir) out=$argument ;;
        --target) target=$argument ;;
        --crate-type) [ "$argument" != staticlib ] || static=yes ;;
        -C) case $argument in opt-level=[23sz]) optimized=yes ;; esac ;;
    esac
    previous=$argument
done
[ -n "$optimized" ] || exec "$@"

# If several prefixes match, the last one counts.
set -- "$@" \
    "--remap-path-prefix=${RUSTUP_HOME:-$HOME/.rustup}=rustup" \
    "--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=cargo" \
    "--remap-path-prefix=$root=."
[ "$name$static" = transomyes ] || exec "$@"

"$@" || exit
# With musl, Rust has an unwinder of its own, which it leaves to the linker of a Rust program. That
# of GCC may need a function of the GNU C library.
unwinder=
case $target in
    *-musl*) unwinder=$("$1" --print sysroot)/lib/rustlib/$target/lib/self-contained/libunwind.a ;;
esac
[ "$(uname -s)" != Linux ] || "$root/bindings/c/localize.sh" "$out/libtransom.a" ${unwinder:+"$unwinder"} ||
    echo "warning: libtransom.a defines the symbols of Rust's standard library for all to see" >&2
