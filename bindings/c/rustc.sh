#!/bin/sh
# Runs rustc for cargo (.cargo/config.toml), with what cargo has no setting for:
#
# - Builds with optimization name no folder of the machine that they were made on, in panic
#   messages and line tables: the folder of this repository is left out, and those of cargo
#   and rustup are "cargo" and "rustup".
# - Of libtransom.a only transom_* can be seen from outside. A static library of Rust brings
#   the standard library along, which another one in the same program would clash with.
#
# Where ld, objcopy and ar are not those of ELF systems, the archive stays as rustc makes it.

root=${0%/bindings/c/*}
previous= optimized= static= name= out=
for argument; do
    case $previous in
        --crate-name) name=$argument ;;
        --out-dir) out=$argument ;;
        --crate-type) [ "$argument" != staticlib ] || static=yes ;;
        -C) case $argument in opt-level=[23sz]) optimized=yes ;; esac ;;
    esac
    previous=$argument
done
[ -n "$optimized" ] || exec "$@"

# Of several that match, the last counts.
set -- "$@" \
    "--remap-path-prefix=${RUSTUP_HOME:-$HOME/.rustup}=rustup" \
    "--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=cargo" \
    "--remap-path-prefix=$root=."
[ "$name$static" = transomyes ] || exec "$@"

"$@" || exit
[ "$(uname -s)" != Linux ] || "$root/bindings/c/localize.sh" "$out/libtransom.a" ||
    echo "warning: libtransom.a defines the symbols of Rust's standard library for all to see" >&2
