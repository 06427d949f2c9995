#!/usr/bin/env bash
# Installs what building and testing mrs needs, on Debian 12, as root or with sudo. Quick where it is all there.
#   scripts/install.sh         to build and run
#   scripts/install.sh test    to test, too
set -euo pipefail

packages=(g++ cmake ninja-build libmlir-22-dev mlir-22-tools llvm-22-dev libflatbuffers-dev flatbuffers-compiler
  libfmt-dev nlohmann-json3-dev libyaml-cpp-dev libpugixml-dev libcli11-dev libboost1.81-dev libssl-dev libpcre2-dev libicu-dev libxxhash-dev curl ca-certificates)
if [ "${1:-}" = test ]; then
  packages+=(libgtest-dev libgmock-dev llvm-22-tools clang libclang-rt-14-dev python3 python3-venv binutils iproute2 nftables)
fi

missing=()
for package in "${packages[@]}"; do
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
done
[ ${#missing[@]} = 0 ] && exit 0

sudo=
if [ "$(id -u)" != 0 ]; then
  command -v sudo >/dev/null || { echo "install.sh: run as root, or install sudo: Debian packages are missing: ${missing[*]}" >&2; exit 1; }
  sudo=sudo
fi
echo "installing: ${missing[*]}" >&2
export DEBIAN_FRONTEND=noninteractive
$sudo apt-get update -q
# LLVM 22 comes with Debian's security updates, which a minimal root may not list yet.
if ! apt-cache show libmlir-22-dev >/dev/null 2>&1; then
  echo "adding the bookworm-security and bookworm-updates sources" >&2
  printf 'deb http://deb.debian.org/debian-security bookworm-security main\ndeb http://deb.debian.org/debian bookworm-updates main\n' |
    $sudo tee /etc/apt/sources.list.d/mrs-debian-security.list >/dev/null
  $sudo apt-get update -q
fi
$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}"
