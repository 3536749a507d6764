#!/usr/bin/env bash
# `tests/image/build.sh FOLDER`: build the Dockerfile as it stands, where there is neither a container
# engine nor a registry. The base is made from Debian's packages; pip finds this machine's package index
# by a mounted home folder, which no layer has. FOLDER gets config.json, layers/, rootfs/ and
# pip.conf, the settings that must not be in the image.
#
# Exits with 77, and says why, where this machine cannot build images at all; any other failure is the
# project's.
set -euo pipefail
cd "$(dirname "$0")/../.."
folder=$1
mkdir -p "$folder"/{context,home/.config/pip}
export BUILDAH_ISOLATION=chroot
buildah() { command buildah --root "$folder/store" --runroot "$folder/run" --storage-driver vfs "$@"; }

cannot() {
    echo "$1" >"$folder/reason"
    exit 77
}

[ "$(id -u)" = 0 ] || cannot "images are built by root"
for tool in mmdebstrap buildah runc; do
    command -v "$tool" >/dev/null || cannot "$tool is not installed"
done

# --- The base: Debian's Python under the name of the Dockerfile's
base=$(sed -n 's/^ARG BASE=\([^@]*\).*/\1/p' Dockerfile)
mmdebstrap --quiet --variant=minbase --include=ca-certificates,python3,python3-venv \
    --customize-hook='ln -s python3 "$1/usr/bin/python"' "${base##*-}" "$folder/base.tar" \
    || cannot "no base could be made from Debian's packages"
container=$(buildah from scratch) || cannot "buildah makes no container on this machine"
buildah add --quiet "$container" "$folder/base.tar" / >/dev/null
buildah commit --quiet --format docker "$container" "$base" >/dev/null

# --- How pip reaches its index on this machine
pip_setting() {
    local variable="PIP_${1^^}"
    printenv "${variable//-/_}" || .venv/bin/python -m pip config get "global.$1" 2>/dev/null
}
{
    echo "[global]"
    for name in index-url extra-index-url trusted-host proxy timeout; do
        # Folders of this machine are none of the build's.
        if value=$(pip_setting "$name"); then
            printf '%s = %s\n' "$name" "$(tr ' ' '\n' <<<"$value" | grep -v '^file:' | paste -sd ' ')"
        fi
    done
    if certificates=$(pip_setting cert); then
        cp "$certificates" "$folder/home/certificates.pem"
        echo "cert = /root/certificates.pem"
    fi
} | grep -v '= $' >"$folder/home/.config/pip/pip.conf"
cp "$folder/home/.config/pip/pip.conf" "$folder"
home=(--volume "$folder/home:/root:ro")

container=$(buildah from --pull-never "$base")
buildah run "${home[@]}" "$container" -- sh -ec \
    'python -m venv /tmp/venv; /tmp/venv/bin/pip download -q --no-deps -d /tmp/wheels typing-extensions' \
    || cannot "no package index can be reached from inside a build"

# --- The image, from what is under version control and what must stay outside of it
git ls-files -z | xargs -0 cp --no-dereference --parents --target-directory "$folder/context"
mkdir -p "$folder/context/secrets" "$folder/context/app/__pycache__"
for place in .env app/.env app/api/.env app/__pycache__/key.pyc secrets/dashscope_api_key; do
    echo "DASHSCOPE_API_KEY=sk-canary-that-stays-outside" >"$folder/context/$place"
done
buildah build --format docker --pull-never "${home[@]}" --build-arg "BASE=$base" --tag built \
    "$folder/context"
buildah push --quiet --format docker built "dir:$folder/image"
layers=$(.venv/bin/python -c '
import json, sys
manifest = json.load(sys.stdin)
print(*(part["digest"].partition(":")[2] for part in (manifest["config"], *manifest["layers"])))
' <"$folder/image/manifest.json")
for digest in $layers; do
    if [ -f "$folder/config.json" ]; then
        mkdir -p "$folder/layers/$digest"
        tar --extract --no-same-owner --file "$folder/image/$digest" --directory "$folder/layers/$digest"
    else
        cp "$folder/image/$digest" "$folder/config.json"
    fi
done
container=$(buildah from --pull-never built)
ln -s "$(buildah mount "$container")" "$folder/rootfs"
