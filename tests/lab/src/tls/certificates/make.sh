#!/bin/sh
# Makes the certificates of the TLS test servers again. Their keys protect nothing.
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
key() { # file
    openssl ecparam -name prime256v1 -genkey -noout | openssl pkcs8 -topk8 -nocrypt -out "$1"
}
sign() { # name ca begin end extensions, as lines
    : > "$work/index"
    printf '%s\n' '[ca]' 'default_ca=d' '[d]' "new_certs_dir=$work" "database=$work/index" 'default_md=sha256' \
        'policy=p' 'unique_subject=no' 'rand_serial=yes' '[p]' 'commonName=supplied' 'organizationName=optional' \
        '[e]' "$5" > "$work/conf"
    self=
    [ "$1" != "$2" ] || self=-selfsign
    openssl ca -batch -notext -config "$work/conf" -extensions e -in "$work/$1.csr" -out "$1.pem" \
        -cert "$2.pem" -keyfile "$work/$2.key" $self -startdate "$3" -enddate "$4" 2> "$work/log" || { cat "$work/log"; exit 1; }
}
ca() { # name common-name
    key "$work/$1.key"
    openssl req -new -key "$work/$1.key" -subj "/CN=$2" -out "$work/$1.csr"
    sign "$1" "$1" 20200101000000Z 21200101000000Z 'basicConstraints=critical,CA:TRUE
keyUsage=critical,keyCertSign,digitalSignature
subjectKeyIdentifier=hash'
}
leaf() { # name ca begin end alternative-names usage
    openssl req -new -key leaf.key -subj '/O=example/CN=kube-apiserver' -out "$work/$1.csr"
    sign "$1" "$2" "$3" "$4" "subjectAltName=$5
extendedKeyUsage=$6"
}
ca first kubernetes
ca second kubernetes
ca other 'Inspection CA'
key leaf.key
key another.key
names=DNS:localhost,DNS:kubernetes,IP:10.100.0.1
leaf by-first first 20200101000000Z 21200101000000Z "$names" serverAuth
leaf endpoint first 20200101000000Z 21200101000000Z \
    DNS:0123456789ABCDEF0123456789ABCDEF.gr7.ap-northeast-2.eks.amazonaws.com,DNS:kubernetes,IP:10.100.0.1 serverAuth
leaf by-second second 20200101000000Z 21200101000000Z "$names" serverAuth
leaf by-other other 20200101000000Z 21200101000000Z "$names" serverAuth
leaf expired first 20200101000000Z 20210101000000Z "$names" serverAuth
leaf expired-by-other other 20200101000000Z 20210101000000Z "$names" serverAuth
leaf not-yet-valid first 21190101000000Z 21200101000000Z "$names" serverAuth
leaf other-name first 20200101000000Z 21200101000000Z DNS:pod.default.svc serverAuth
leaf of-client first 20200101000000Z 21200101000000Z "$names" clientAuth
leaf of-client-by-other other 20200101000000Z 21200101000000Z "$names" clientAuth
# As in DescribeCluster.
openssl base64 -A -in first.pem -out first.base64
