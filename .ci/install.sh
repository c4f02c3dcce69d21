#!/bin/sh
# 离线安装 Puts the agent on this box, offline: sh install.sh install [--with recognition] [--apply];
# sh install.sh uninstall [--purge] [--apply]
set -eu
here=$(cd "$(dirname "$0")" && pwd)
PYTHONPATH=$(ls "$here"/sentinel_gate-*.whl) exec python3 -m edge_agent.installer --wheelhouse "$here" "$@"
