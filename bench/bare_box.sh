#!/bin/sh
# bare_box.sh WHEELHOUSE [DEB]: from a bare Debian 12 to the first passage of a simulated person, without a network after
# the installation of the Debian packages. Runs as root; needs debootstrap, or BASE, a folder made by it. Prints the
# seconds of each step.
set -eu
wheelhouse=$(cd "$1" && pwd)
deb=${2:-}
here=$(cd "$(dirname "$0")" && pwd)
box=$(mktemp -d)
trap 'rm -rf --one-file-system "$box"' EXIT
packages=python3,systemd,udev,libgl1,libglib2.0-0,libasound2,mosquitto
step() { name=$1 began=$(date +%s.%N); shift; "$@"; echo "$(echo "$(date +%s.%N) - $began" | bc | cut -c1-6) s: $name"; }
# New namespaces: loopback is the only interface, and all processes end with the command.
inside() {
	# shellcheck disable=SC2016 # the inner shell expands them
	unshare --net --mount --pid --fork sh -euc '
		ip link set lo up
		mount --bind "$0" "$0"
		mount -t proc proc "$0/proc"
		mount -t devpts devpts "$0/dev/pts"
		exec chroot "$0" /bin/sh -euc "$1"' "$box" "$1"
}

if [ -n "${BASE:-}" ]; then cp -a "$BASE/." "$box"; else debootstrap --variant=minbase --include=$packages bookworm "$box" >/dev/null; fi
cp -r "$wheelhouse" "$box/root/wheelhouse"
cp "$here/bare_box_morning.sh" "$here/bare_box_street.py" "$box/root"
if [ -n "$deb" ]; then
	cp "$deb" "$box/root/agent.deb"
	step "dpkg --install" inside 'dpkg --install /root/agent.deb'
	step "version" inside 'edge-agent version'
	step "dpkg --purge" inside 'dpkg --purge edge-agent; ! ls -d /opt/edge-agent /etc/edge-agent /var/lib/edge-agent /usr/local/bin/edge-agent 2>/dev/null'
	exit
fi
step "install, dry run" inside 'sh /root/wheelhouse/install.sh install; ! test -e /opt/edge-agent'
step "the morning" inside 'sh /root/bare_box_morning.sh'
step "install --apply again" inside 'sh /root/wheelhouse/install.sh install --apply | tee /root/again; grep -q "nothing to do" /root/again'
step "uninstall --apply" inside 'sh /root/wheelhouse/install.sh uninstall --apply; test -e /etc/edge-agent/sentinel.toml; ! test -e /opt/edge-agent'
