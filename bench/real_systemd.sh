#!/bin/sh
# real_systemd.sh TREE WHEELHOUSE: the units under a real systemd as process 1 of a container, with loopback only.
# TREE is a Debian 12 made by debootstrap with the packages of bare_box.sh; it is copied and not changed. Runs as root;
# needs systemd-container. Prints the measurements as JSON and removes the container.
set -eu
tree=$1 wheelhouse=$2
here=$(cd "$(dirname "$0")" && pwd)
box=$(mktemp -d)
trap 'rm -rf --one-file-system "$box"' EXIT
cp -a --reflink=auto "$tree/." "$box"
cp -r "$wheelhouse" "$box/root/wheelhouse"
cp "$here/bare_box_morning.sh" "$here/bare_box_street.py" "$box/root"
install -m 644 "$here/real_systemd_box.py" "$box/srv"
ln -sf /dev/null "$box/etc/systemd/system/mosquitto.service" # bare_box_morning.sh starts it
cat >"$box/etc/systemd/system/bench.service" <<'END'
[Unit]
SuccessAction=exit
FailureAction=exit
[Service]
Type=oneshot
TimeoutStartSec=1200
WorkingDirectory=/root
ExecStart=/bin/sh -euc 'sh bare_box_morning.sh >morning.log 2>&1; /srv/city/venv/bin/python /srv/real_systemd_box.py morning.log >figures.json 2>errors.log'
END
install -d "$box/etc/systemd/system/multi-user.target.wants"
ln -sf ../bench.service "$box/etc/systemd/system/multi-user.target.wants/bench.service"
# All capabilities and system calls, as for process 1 of a box, so that only the unit restricts the agent.
SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 systemd-nspawn --quiet --directory="$box" --machine="sentinel-$$" --private-network \
	--register=no --keep-unit --capability=all --system-call-filter=@known --console=pipe --boot >"$box/console.log" 2>&1 </dev/null || true
cat "$box/root/figures.json" 2>/dev/null && [ -s "$box/root/figures.json" ] && exit
tail -n 20 "$box/console.log" "$box/root/morning.log" "$box/root/errors.log" >&2
exit 1
