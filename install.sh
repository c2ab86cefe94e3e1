#!/bin/sh
# Builds the C library and installs it: libraries, headers, pkg-config and CMake files, man
# pages. Needs cargo, a linker and the tools of POSIX. `./install.sh --help` lists the options.
set -eu

usage() {
    cat <<'END'
Usage: ./install.sh [OPTION]...
Builds the C library of Transom and installs it for C and C++ programs.

  --prefix=DIR      install below DIR [/usr/local]
  --libdir=DIR      libraries, pkg-config and CMake files [PREFIX/lib; with --prefix=/usr
                    on Debian and its relatives PREFIX/lib/<multiarch>]
  --includedir=DIR  headers [PREFIX/include]
  --mandir=DIR      man pages [PREFIX/share/man]
  --built=DIR       install the libraries of DIR instead of building them; for example
                    after `cargo build --release --package transom-capi`, target/release
  --keep-debug      do not strip the line tables from the libraries
  --uninstall       remove what was installed; takes the same directories
  --help            print this

A relative --libdir, --includedir or --mandir is below PREFIX. The environment variable
DESTDIR names a folder that stands for / (to build packages). Cargo's own variables hold,
such as CARGO_BUILD_TARGET, CARGO_TARGET_DIR and CARGO_NET_OFFLINE.
END
}

fail() {
    echo "install.sh: $1" >&2
    exit 1
}

# under_prefix DIR: DIR, or what it is below the prefix.
under_prefix() {
    case $1 in
        /*) printf '%s\n' "${1%/}" ;;
        *) printf '%s\n' "${prefix%/}/${1%/}" ;;
    esac
}

prefix=/usr/local libdir= includedir=include mandir=share/man
built= keep_debug= uninstall=
for argument; do
    value=${argument#*=}
    case $argument in
        --help | -h) usage; exit ;;
        --uninstall) uninstall=yes ;;
        --keep-debug) keep_debug=yes ;;
        --prefix=?* | --libdir=?* | --includedir=?* | --mandir=?* | --built=?*)
            name=${argument%%=*}
            eval "${name#--}=\$value" ;;
        *) fail "unknown option $argument (see ./install.sh --help)" ;;
    esac
done

[ "$(uname -s)" = Linux ] || fail 'this script installs on Linux only; cargo build --release --package transom-capi makes the libraries elsewhere'
case $prefix in
    /*) prefix=${prefix%/} ;;
    *) fail "--prefix=$prefix is not an absolute path" ;;
esac
if [ -z "$libdir" ]; then
    multiarch=
    [ "$prefix" != /usr ] || multiarch=$(cc -print-multiarch 2>/dev/null) || true
    libdir=lib${multiarch:+/$multiarch}
fi
libdir=$(under_prefix "$libdir") includedir=$(under_prefix "$includedir") mandir=$(under_prefix "$mandir")
# The paths are written into files that sed makes, and into a list with one path a line.
case $prefix$libdir$includedir$mandir in
    *[!A-Za-z0-9/._+@~,:=-]*) fail 'a directory of the installation contains a space or another special character' ;;
esac
[ -z "$built" ] || built=$(CDPATH= cd "$built" 2>/dev/null && pwd) || fail "--built: there is no such folder"
destination=${DESTDIR:-}
destination=${destination%/}
case $destination in
    '' | /*) ;;
    *) destination=$PWD/$destination ;;
esac

CDPATH= cd "$(dirname "$0")"
source=bindings/c/install
# What was installed, one a line: "file PATH", or "folder PATH" for a folder that was made.
list=$prefix/share/transom/installed-files

# forget: removes the files of the list and the list, and prints its folders, the deepest first.
forget() {
    [ -f "$destination$list" ] || return 0
    sed -n 's/^file //p' "$destination$list" | while read -r path; do
        rm -f "$destination$path"
    done
    folders=$(sed -n 's/^folder //p' "$destination$list" | LC_ALL=C sort -r)
    rm -f "$destination$list"
    printf '%s\n' "$folders"
}

# refresh: lets the dynamic linker see the change, where it looks by itself.
refresh() {
    case $prefix in
        /usr | /usr/local) ;;
        *) return 0 ;;
    esac
    [ -n "$destination" ] || [ "$(id -u)" != 0 ] || PATH=$PATH:/sbin:/usr/sbin ldconfig 2>/dev/null || true
}

if [ -n "$uninstall" ]; then
    [ -f "$destination$list" ] || fail "nothing of Transom is installed below $destination$prefix ($destination$list is missing)"
    [ -w "$destination${list%/*}" ] || fail "cannot write to $destination$prefix: run this as its owner"
    forget | while read -r folder; do
        [ -z "$folder" ] || rmdir "$destination$folder" 2>/dev/null || true
    done
    refresh
    echo "removed Transom from $destination$prefix"
    exit
fi

# Fails before the build, not after it.
for folder in "$prefix" "$libdir" "$includedir" "$mandir"; do
    above=$destination$folder
    while [ ! -e "$above" ]; do above=${above%/*}; [ -n "$above" ] || above=/; done
    [ -d "$above" ] || fail "$above is not a folder"
    [ -w "$above" ] || fail "cannot write to $above: choose another --prefix, such as $HOME/.local, or run
    cargo build --release --package transom-capi && sudo ./install.sh --built=target/release"
done

# The version is that of the crate; the number of the binary interface is in the header.
version=$(sed -n 's/^version = "\(.*\)"/\1/p' bindings/c/Cargo.toml | head -n 1)
abi=$(sed -n 's/^#define TRANSOM_ABI_VERSION \([0-9]*\)$/\1/p' include/transom.h)
# Versions of one series are compatible: 0.1, 0.2, 1, 2.
case $version in
    0.*) series=${version%.*} ;;
    *) series=${version%%.*} ;;
esac
[ -n "$version" ] && [ -n "$abi" ] || fail 'bindings/c/Cargo.toml has no version, or include/transom.h no TRANSOM_ABI_VERSION'

if [ -z "$built" ]; then
    command -v cargo >/dev/null || fail 'cargo is not installed, or not in PATH: see https://rustup.rs, or build as another user and give --built=target/release'
    # Cargo names the files that it made, wherever they are.
    made=$(cargo build --release --locked --package transom-capi --lib --message-format=json-render-diagnostics) ||
        fail 'the build failed'
    built=$(printf '%s\n' "$made" | sed -n 's|.*"\([^"]*\)/libtransom\.a".*|\1|p' | tail -n 1)
    [ -n "$built" ] || fail 'cargo built no libtransom.a'
fi
for name in libtransom.so libtransom.a; do
    # A target such as musl has no shared libraries of its own.
    [ -f "$built/$name" ] || [ "$name" = libtransom.so ] || fail "there is no $built/$name"
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for name in libtransom.so libtransom.a; do
    [ -f "$built/$name" ] || continue
    cp "$built/$name" "$work/$name"
    # The line tables are most of the size, and no program needs them.
    [ -n "$keep_debug" ] || ${STRIP:-strip} --strip-debug "$work/$name" 2>/dev/null ||
        echo "install.sh: $name keeps its line tables, because strip fails" >&2
done
mkdir "$work/man"
date=$(LC_ALL=C date -u ${SOURCE_DATE_EPOCH:+-d "@$SOURCE_DATE_EPOCH"} '+%B %e, %Y' | tr -s ' ')
LC_ALL=C awk -v folder="$work/man" -v version="$version" -v date="$date" -f "$source/man.awk" include/transom.h

# Folders that an earlier installation made are still to be removed by an --uninstall.
forget | sed -n 's/^./folder &/p' >"$work/installed"
# What is installed can be removed, even if this script ends in the middle.
trap 'keep_list; rm -rf "$work"' EXIT
keep_list() {
    [ ! -d "$destination${list%/*}" ] || LC_ALL=C sort -u "$work/installed" >"$destination$list"
}

# make_folder PATH: makes the folder, and notes it if it was not there.
make_folder() {
    [ ! -d "$destination$1" ] || return 0
    if [ -n "${1%/*}" ]; then make_folder "${1%/*}"; else mkdir -p "$destination/"; fi
    mkdir "$destination$1"
    echo "folder $1" >>"$work/installed"
}

# note PATH: makes the folder of the file, and notes the file.
note() {
    make_folder "${1%/*}"
    echo "file $1" >>"$work/installed"
}

# put MODE FILE PATH: installs the file. A program that runs with the old one keeps it.
put() {
    note "$3"
    cp "$2" "$destination$3.new"
    chmod "$1" "$destination$3.new"
    mv -f "$destination$3.new" "$destination$3"
}

# link TARGET PATH
link() {
    note "$2"
    ln -sf "$1" "$destination$2"
}

# up PATH BELOW: the way up from the folder PATH to the folder BELOW, or BELOW if it is elsewhere.
up() {
    case $1/ in
        "$2"/*) printf '%s\n' "${1#"$2"}" | sed 's|/[^/]\{1,\}|/..|g' ;;
        *) printf '%s\n' "$2" ;;
    esac
}

# fill NAME FOLDER ROOT: makes NAME from its template in $source. @PREFIX@, @LIBDIR@ and
# @INCLUDEDIR@ begin with ROOT, which stands for FOLDER, so that the tree can be moved.
# Directories of the system are named as they are, because pkg-config leaves those out.
fill() {
    way=$(up "$2" "$prefix")
    case $prefix:$way in
        /usr:* | *:"$prefix") to=$prefix ;;
        *) to=$3$way ;;
    esac
    sed -e "s|@VERSION@|$version|g" -e "s|@ABI@|$abi|g" -e "s|@SERIES@|$series|g" -e "s|@PREFIX@|$to|g" \
        -e "s|@LIBDIR@|$(below "$libdir" "$4")|g" -e "s|@INCLUDEDIR@|$(below "$includedir" "$4")|g" \
        "$source/$1.in" >"$work/$1"
    put 644 "$work/$1" "$2/$1"
}

# below PATH NAME: PATH, with NAME in place of the prefix if it is below that.
below() {
    case $1/ in
        "$prefix"/*) printf '%s\n' "$2${1#"$prefix"}" ;;
        *) printf '%s\n' "$1" ;;
    esac
}

make_folder "${list%/*}"
if [ -f "$work/libtransom.so" ]; then
    put 755 "$work/libtransom.so" "$libdir/libtransom.so.$version"
    link "libtransom.so.$version" "$libdir/libtransom.so.$abi"
    link "libtransom.so.$abi" "$libdir/libtransom.so"
fi
put 644 "$work/libtransom.a" "$libdir/libtransom.a"
for name in transom.h transom.hpp; do
    [ ! -f "include/$name" ] || put 644 "include/$name" "$includedir/$name"
done
for name in transom.pc transom-static.pc; do
    # pkg-config knows the folder of the file as pcfiledir.
    fill "$name" "$libdir/pkgconfig" "\${pcfiledir}" "\${prefix}"
done
for name in transom-config.cmake transom-config-version.cmake; do
    fill "$name" "$libdir/cmake/transom" "\${_transom_here}" "\${_transom_prefix}"
done
for page in "$work"/man/*; do
    put 644 "$page" "$mandir/man3/${page##*/}"
done

refresh
echo "installed Transom $version below $destination$prefix"
