#!/bin/sh
# nginx in the foreground, in front of a slow handler: overload.sh PORT WORK BACKEND
# BACKEND is serve-transom-overload, which then limits no waits.
set -eu
here=$(dirname "$0") port=$1 work=$2/nginx-overload backend=$3
PATH=$PATH:/usr/sbin
rm -rf "$work"
mkdir -p "$work"
user=
if [ "$(id -u)" = 0 ]; then
    user='user root;'
fi
sed -e "s|{port}|$port|" -e "s|{work}|$work|" -e "s|{user}|$user|" "$here/overload.conf" >"$work/nginx.conf"
"$backend" --limited false --address "unix:$work/slow.sock" &
while [ ! -S "$work/slow.sock" ]; do
    sleep 0.01
done
exec nginx -e stderr -p "$work" -c nginx.conf
