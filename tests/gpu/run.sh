#!/bin/sh
# Runs the checks that need a GPU, and prints one table.
#
#     tests/gpu/run.sh [BUNDLES]
#
# BUNDLES holds what `cargo xtask gpu-bundle` has made, elsewhere if need be: a folder for each series of libtorch, such as
# 2.11 (target/gpu-bundle without it). Nothing is compiled here, and nothing fetched. libtorch is the folder that LIBTORCH
# names, or that of python3's torch.
set -eu

bundles=${1:-$(dirname "$0")/../../target/gpu-bundle}

fail() {
    echo "error: $1" >&2
    exit 1
}

if [ -n "${LIBTORCH:-}" ]; then
    torch=$LIBTORCH
    version=$(cat "$torch/build-version") || fail "$torch has no build-version: LIBTORCH is to name a libtorch"
else
    found=$(python3 -c 'import os, torch; print(os.path.dirname(torch.__file__)); print(torch.__version__)') ||
        fail "no libtorch: set LIBTORCH to the folder of one with CUDA, or install torch for python3"
    torch=$(echo "$found" | head -n 1)
    version=$(echo "$found" | tail -n 1)
fi
[ -f "$torch/lib/libtorch_cuda.so" ] || fail "$torch is libtorch $version without CUDA"

series=$(echo "$version" | cut -d . -f 1,2)
bundle=$bundles/$series
[ -x "$bundle/gpu" ] ||
    fail "no programs for libtorch $version in $bundles (there is: $(ls "$bundles" 2>/dev/null | tr '\n' ' ')); make them: cargo xtask gpu-bundle --libtorch $series"

# What libtorch is linked against lies in its own folder, or in wheels beside it.
paths=$torch/lib
for lib in "$torch"/../nvidia/*/lib; do
    [ -d "$lib" ] && paths=$paths:$lib
done
LD_LIBRARY_PATH=$paths${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export LD_LIBRARY_PATH

echo "libtorch $version in $torch"
if command -v nvidia-smi >/dev/null; then
    nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader
fi
exec "$bundle/gpu" --digits "$bundle/digits" --data "$bundle/data"
