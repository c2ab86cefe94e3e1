#!/bin/sh
# localize.sh ARCHIVE: makes every symbol of the archive local but transom_*. That takes ld,
# objcopy and ar of GNU binutils.
set -e
archive=$1
work=$(mktemp -d "$archive.XXXXXX")
trap 'rm -rf "$work"' EXIT
# What is local is local to an object file, so they become one.
# Groups that linkers keep one of would be taken for those of others, so there are none left.
ld -r --force-group-allocation -o "$work/transom.o" --whole-archive "$archive"
# Bitcode is for rustc alone; other tools stumble over what is newer than they are.
objcopy --wildcard --keep-global-symbol='transom_*' \
    --remove-section=.llvmbc --remove-section=.llvmcmd "$work/transom.o"
ar crs "$work/archive.a" "$work/transom.o"
mv "$work/archive.a" "$archive"
