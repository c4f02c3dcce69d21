#!/bin/sh
# 离线安装 Installs the agent offline: sh install.sh install [--with recognition] [--apply];
# sh install.sh uninstall [--purge] [--apply]
set -eu
here=$(cd "$(dirname "$0")" && pwd)
PYTHONPATH=$(ls "$here"/sentinel_gate-*.whl) exec python3 -m edge_agent.installer --wheelhouse "$here" "$@"
