#!/bin/sh
# Installs the control plane from this bundle alone: sh install.sh [DIRECTORY], /opt/ordain-control if none is given.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
target=${1:-/opt/ordain-control}
(cd "$here" && sha256sum --check --quiet SHA256SUMS)
"${PYTHON:-python3}" -m venv "$target"
"$target/bin/python" -m pip install --quiet --disable-pip-version-check --no-index --find-links "$here/wheels" 'ordain[reconciler]'
install -m 755 "$here/opa" "$target/bin/opa"
cp -R "$here/share" "$target/"
echo "ordain is in $target/bin; put that on PATH, then: ordain init fleet && ordain up --repo fleet --state state"
