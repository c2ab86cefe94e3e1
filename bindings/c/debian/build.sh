#!/bin/sh
# build.sh FOLDER [OPTION]...: makes the source tree of the Debian package in FOLDER/transom-VERSION,
# from the last commit, and builds libtransom0 and libtransom-dev into FOLDER. The options are for
# dpkg-buildpackage; -d lets it use a cargo that dpkg knows nothing of. Needs git, dpkg-dev,
# debhelper, and cargo.
set -eu
[ -n "${1:-}" ] || { sed -n '2,5s/^# //p' "$0" >&2; exit 2; }
mkdir -p "$1"
folder=$(CDPATH= cd "$1" && pwd)
shift
CDPATH= cd "$(dirname "$0")/../../.."
version=$(sed -n 's/^version = "\(.*\)"/\1/p' bindings/c/Cargo.toml | head -n 1)
date=$(git log -1 --format=%cD)
maintainer=$(sed -n 's/^Maintainer: //p' bindings/c/debian/control)
tree=$folder/transom-$version
rm -rf "$tree"
mkdir "$tree"
git archive HEAD | tar -x -C "$tree"

cd "$tree"
cp -r bindings/c/debian debian
rm debian/build.sh
cat >debian/changelog <<END
transom ($version) unstable; urgency=medium

  * See CHANGELOG.md.

 -- $maintainer  $date
END
# The package is built without a network. Cargo reads its configuration in the tree.
cargo vendor --quiet --locked --versioned-dirs >>.cargo/config.toml
dpkg-buildpackage --build=binary --no-sign "$@"
