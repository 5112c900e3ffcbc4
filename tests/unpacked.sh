#!/bin/sh
# unpacked.sh FOLDER PACKAGE...: Debian's packages below a folder: unpacked, not installed.
# What this Debian lacks of them is brought, by its own sources; what is installed is not.
set -eu
folder=$1
shift
apt-cache show "$@" > /dev/null 2>&1 || apt-get update -qq
mkdir -p "$folder/packages"
cd "$folder/packages"
lacking=$(apt-get -s install --no-install-recommends "$@" | awk '/^Inst/ {print $2}')
bring() {
  [ -z "$lacking" ] || apt-get -qq -o APT::Sandbox::User=root download $lacking
}
bring || { apt-get update -qq && bring; }
for package in *.deb; do
  [ ! -f "$package" ] || dpkg-deb -x "$package" ..
done
cd ..
rm -r packages
touch .brought
