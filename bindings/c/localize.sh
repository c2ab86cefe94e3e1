#!/bin/sh
# localize.sh ARCHIVE [OTHER]...: makes every symbol of the archive local, except transom_*, and
# puts the other archives into it. Needs ld, objcopy and ar of GNU binutils.
set -e
archive=$1
work=$(mktemp -d "$archive.XXXXXX")
trap 'rm -rf "$work"' EXIT
# A local symbol is local to its object file, so all of them are linked into one.
# Section groups are resolved, because a linker keeps one group of each name, and could
# take another library's for these.
ld -r --force-group-allocation -o "$work/transom.o" --whole-archive "$@"
# The bitcode is for rustc only, and older tools fail on it.
objcopy --wildcard --keep-global-symbol='transom_*' \
    --remove-section=.llvmbc --remove-section=.llvmcmd "$work/transom.o"
ar crs "$work/archive.a" "$work/transom.o"
mv "$work/archive.a" "$archive"
