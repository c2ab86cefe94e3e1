#!/bin/sh
# h2o in the foreground: run.sh PORT FILE WORK
set -eu
here=$(dirname "$0") port=$1 file=$2 work=$3/h2o
mkdir -p "$work"
if [ ! -e "$work/plain.txt" ]; then
    head -c 1048576 /dev/zero | tr '\0' x >"$work/1m.bin"
    head -c 104857600 /dev/zero | tr '\0' x >"$work/100m.bin"
    printf hello >"$work/plain.txt"
fi
user=
if [ "$(id -u)" = 0 ]; then
    user='user: root'
fi
sed -e "s|{port}|$port|" -e "s|{work}|$work|" -e "s|{file}|$file|" -e "s|{user}|$user|" "$here/h2o.yaml" \
    >"$work/h2o.yaml"
exec h2o -m worker -c "$work/h2o.yaml"
