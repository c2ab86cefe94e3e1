#!/bin/sh
# nginx in the foreground: run.sh PORT FILE WORK [CERTIFICATE KEY]
set -eu
here=$(dirname "$0") port=$1 file=$2 work=$3/nginx
PATH=$PATH:/usr/sbin
mkdir -p "$work/site/bytes"
if [ ! -e "$work/site/file" ]; then
    head -c 1048576 /dev/zero | tr '\0' x >"$work/site/bytes/1m"
    head -c 104857600 /dev/zero | tr '\0' x >"$work/site/bytes/100m"
    ln -s "$file" "$work/site/file"
fi
user=
if [ "$(id -u)" = 0 ]; then
    user='user root;'
fi
ssl= certificate=
if [ $# -gt 3 ]; then
    ssl=ssl certificate="ssl_certificate $4; ssl_certificate_key $5; ssl_protocols TLSv1.2 TLSv1.3;"
fi
sed -e "s|{ssl}|$ssl|" -e "s|{certificate}|$certificate|" -e "s|{port}|$port|" -e "s|{work}|$work|" -e "s|{user}|$user|" "$here/nginx.conf" >"$work/nginx.conf"
exec nginx -e stderr -p "$work" -c nginx.conf
