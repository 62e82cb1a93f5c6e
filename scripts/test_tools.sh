#!/usr/bin/env bash
# What some tests use and pip cannot install: a browser, curl, strace, and for Node newman
# (Postman's runner) and the SDK of Tencent COS. Without them those tests are skipped, each with a
# word that says so. Debian and Ubuntu; elsewhere install them as is usual there. What is Node's
# goes into .venv/node. And PyTorch with spandrel, for the networks that restore faces, where pip
# finds the CPU build: 15 seconds, 0.9 GB. The index has the CUDA build, 5 GB, which is not taken.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

wanted=()
command -v chromium >/dev/null || wanted+=(chromium)
command -v curl >/dev/null || wanted+=(curl)
command -v strace >/dev/null || wanted+=(strace)
command -v npm >/dev/null || wanted+=(npm)
if [ ${#wanted[@]} -gt 0 ]; then
  if ! command -v apt-get >/dev/null; then
    echo "Install these as is usual on this system: ${wanted[*]}" >&2
    exit 1
  fi
  as_root=()
  [ "$(id -u)" = 0 ] || as_root=(sudo)
  "${as_root[@]}" apt-get update -qq
  DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq --no-install-recommends \
    "${wanted[@]}" >/dev/null
fi
# All in one install: npm removes what it was not asked for.
packages=(newman@6.2.2 cos-nodejs-sdk-v5@3.0.0)
for package in "${packages[@]}"; do
  manifest=".venv/node/node_modules/${package%@*}/package.json"
  if ! grep -qs "\"version\": \"${package##*@}\"" "$manifest"; then
    npm install --prefix .venv/node --no-save --no-audit --no-fund --loglevel=error "${packages[@]}"
    break
  fi
done
# One call: spandrel by itself would take whatever torch is newest.
torch=torch==2.13.0+cpu
[ "$(uname -s)" = Linux ] || torch=torch==2.13.0
wanted=("$torch" torchvision==0.28.0 spandrel==0.4.2 spandrel_extra_arches==0.2.0)
versions='import importlib.metadata as m, sys; sys.exit(any(m.version(p.split("==")[0]) != p.split("==")[1] for p in sys.argv[1:]))'
if ! .venv/bin/python -c "$versions" "${wanted[@]}" 2>/dev/null; then
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --only-binary :all: \
    --constraint <(sed -nE 's/^([A-Za-z0-9].*==.*) \\$/\1/p' requirements/dev.txt) \
    "${wanted[@]}" 2>/dev/null ||
    echo "There is no CPU build of PyTorch here: the tests of restoring faces are skipped." >&2
fi
# Weights of a learned measure for the scorecard; of the package only data is read, so nothing it
# depends on is wanted.
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
  stlpips-pytorch==0.0.2 2>/dev/null || echo "The scorecard will be without ST-LPIPS."
echo "Test tools are there: chromium, curl, strace; in .venv/node: ${packages[*]}"
