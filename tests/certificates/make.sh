#!/bin/sh
# Makes the certificates of the tests anew, with openssl(1). They are valid from 2020 to 2120, but for
# `expired`. The keys are no secrets.
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
: >"$work/index"
echo 1000 >"$work/serial"
echo 01 >"$work/number"
cat >"$work/ca.cnf" <<EOF
[ca]
default_ca = d
[d]
database = $work/index
serial = $work/serial
crlnumber = $work/number
new_certs_dir = $work
default_md = sha256
policy = any
unique_subject = no
[any]
commonName = supplied
EOF

# key NAME KIND
key() {
    case $2 in
    ec) openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1.key" ;;
    rsa) openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$1.key" ;;
    esac
}

# sign NAME SUBJECT END ARGUMENTS..., with the extensions on standard input
sign() {
    cat >"$work/extensions"
    name=$1 subject=$2 end=$3
    shift 3
    openssl req -new -key "$name.key" -subj "/CN=$subject" -out "$work/request"
    openssl ca -batch -notext -config "$work/ca.cnf" -in "$work/request" -out "$name.pem" \
        -extfile "$work/extensions" -startdate 20200101000000Z -enddate "$end" "$@"
}

# authority NAME SUBJECT
authority() {
    key "$1" ec
    printf 'basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n' |
        sign "$1" "$2" 21200101000000Z -selfsign -keyfile "$1.key"
}

# issue NAME AUTHORITY SUBJECT USAGE NAMES KIND [END]
issue() {
    key "$1" "$6"
    printf 'basicConstraints=CA:FALSE\nkeyUsage=digitalSignature\nextendedKeyUsage=%s\n%s\n' \
        "$4" "${5:+subjectAltName=$5}" |
        sign "$1" "$3" "${7:-21200101000000Z}" -cert "$2.pem" -keyfile "$2.key"
}

here="DNS:localhost,IP:127.0.0.1,IP:::1"
authority authority "Transom test authority"
authority other-authority "Transom other test authority"
issue localhost authority localhost serverAuth "$here" ec
issue renewed authority localhost serverAuth "$here" ec
issue rsa authority localhost serverAuth "$here" rsa
issue example authority example.org serverAuth "DNS:example.org,DNS:*.example.org" ec
issue client authority "a client" clientAuth "" ec
issue revoked authority "a revoked client" clientAuth "" ec
issue stranger other-authority "a stranger" clientAuth "" ec
issue expired authority "an expired client" clientAuth "" ec 20210101000000Z
openssl pkcs8 -topk8 -in localhost.key -passout pass:secret -out passphrase.key
openssl ca -config "$work/ca.cnf" -cert authority.pem -keyfile authority.key -revoke revoked.pem
openssl ca -config "$work/ca.cnf" -cert authority.pem -keyfile authority.key -gencrl -crldays 30000 -out revoked.crl
rm other-authority.key authority.key
