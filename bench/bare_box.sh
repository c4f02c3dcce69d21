#!/bin/sh
# bare_box.sh WHEELHOUSE [DEB]: from a bare Debian 12 to the first passages of simulated people, with the network cut
# once Debian's own packages are there. As root; needs debootstrap. Prints the seconds of each step.
set -eu
wheelhouse=$(cd "$1" && pwd)
deb=${2:-}
box=$(mktemp -d)
trap 'rm -rf --one-file-system "$box"' EXIT
packages=python3,systemd,udev,libgl1,libglib2.0-0,mosquitto
step() { began=$(date +%s.%N); "$@"; echo "$(echo "$(date +%s.%N) - $began" | bc | cut -c1-6) s: $name"; }
# A network of its own without any interface but loopback: nothing can be fetched.
inside() { unshare --net --mount --pid --fork sh -c 'ip link set lo up; mount -t proc proc "$0/proc"; mount -t devpts devpts "$0/dev/pts" 2>/dev/null || mount --bind /dev/pts "$0/dev/pts"; exec chroot "$0" /bin/sh -euc "$1"' "$box" "$1"; }

if [ -n "${BASE:-}" ]; then cp -a "$BASE/." "$box"; else debootstrap --variant=minbase --include=$packages bookworm "$box" >/dev/null; fi
cp -r "$wheelhouse" "$box/root/wheelhouse"
if [ -n "$deb" ]; then
	cp "$deb" "$box/root/agent.deb"
	name="dpkg --install" step inside 'dpkg --install /root/agent.deb'
	name="version" step inside 'edge-agent version'
	name="dpkg --purge" step inside 'dpkg --purge edge-agent; ! ls -d /opt/edge-agent /etc/edge-agent /var/lib/edge-agent /usr/local/bin/edge-agent 2>/dev/null'
	exit
fi
name="install, a rehearsal" step inside 'sh /root/wheelhouse/install.sh install; ! test -e /opt/edge-agent'
name="install --apply" step inside 'sh /root/wheelhouse/install.sh install --apply'
name="install --apply again" step inside 'sh /root/wheelhouse/install.sh install --apply | tee /root/again; grep -q "nothing to do" /root/again'
name="version" step inside 'edge-agent version'
name="three passages" step inside 'cd /tmp; /opt/edge-agent/venv/bin/edge-agent demo --passages 3 --json'
name="uninstall --apply" step inside 'sh /root/wheelhouse/install.sh uninstall --apply; test -e /etc/edge-agent/sentinel.toml; ! test -e /opt/edge-agent'
