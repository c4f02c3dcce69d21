#!/bin/sh
# bare_box_morning.sh: the part of bare_box.sh inside the box, in a namespace with loopback only. Sets up a platform with
# the commands of the product, then does the work of the installer: install, provision, start the service as in its unit,
# one resident passes. Prints the seconds of each step, and the total of the installer's steps.
set -eu
cd /root
city=/srv/city answers=/root/answers.toml unit=/etc/systemd/system/edge-agent.service
export PATH="$city/venv/bin:$PATH" LANG=C.UTF-8
morning=0

now() { date +%s.%N; }
since() { awk -v a="$1" -v b="$(now)" 'BEGIN { printf "%.1f", b - a }'; }
step() { # step NAME COMMAND...
	name=$1 began=$(now) && shift
	"$@"
	took=$(since "$began")
	echo "$took s: $name"
}
installer_step() { # as step, and adds the time to the total
	step "$@"
	morning=$(awk -v a="$morning" -v b="$took" 'BEGIN { printf "%.1f", a + b }')
}
listening() { # listening PORT: wait until the port accepts connections
	for _ in $(seq 200); do
		python3 -c "import socket; socket.create_connection(('127.0.0.1', $1)).close()" 2>/dev/null && return
		sleep 0.1
	done
	echo "port $1 does not accept connections" >&2 && return 1
}

# The platform, which would be another machine, with its own environment.
programs() {
	python3 -m venv --without-pip "$city/venv"
	"$city/venv/bin/python" "$(echo wheelhouse/pip-*.whl)/pip" --isolated install --quiet --no-index --no-deps --no-cache-dir wheelhouse/*.whl
}
authority() {
	edge-platform ca init --district demo --url https://city.example:8443 --data $city/data
	edge-platform broker config --for mosquitto --out $city/broker --host city.example --owner mosquitto --data $city/data
	edge-platform ca issue platform --out $city/own --data $city/data
	edge-platform keys init --data $city/data
	python bare_box_street.py people people.jsonl
} >>city.log
services() {
	install -d -o mosquitto /run/mosquitto
	setpriv --reuid=mosquitto --regid=mosquitto --clear-groups --no-new-privs mosquitto -c $city/broker/mosquitto.conf >>city.log 2>&1 &
	listening 8884
	edge-platform ca enrol --listen 127.0.0.1:8443 --data $city/data >>city.log 2>&1 &
	edge-platform serve --broker mqtts://city.example:8884 --ca $city/own/ca.pem --certificate $city/own/platform.pem \
		--key $city/own/platform.key --data $city/data --directory people.jsonl \
		--community-key-file $city/data/keys/community.key >>city.log 2>&1 &
	listening 8443
	listening 8090
}
plug_in() {
	python bare_box_street.py street /run/street >passed.json 2>>street.log &
	listening 8099
}

# The box. The installer has the text of the enrolment sheet and two files from the platform.
invited() {
	code=$(edge-platform boxes token "$1" --name gate-1 --accept --json --data $city/data | python3 -c 'import json, sys; print(json.load(sys.stdin)["code"])')
	cat >$answers <<-END
		checkpoint = "南门 South gate"
		platform_url = "mqtts://city.example:8883"
		invitation = "$code"
		community_key = "$city/data/keys/community.key"
		signing_key = "$city/data/keys/orders.pub"
		staff_pin = "918273"
		probe = false  # udev does not know pseudo-terminals

		[settings]
		camera = { source = "http://127.0.0.1:8099/video.mjpg" }
		thermometer = { driver = "gy-mcu90640", port = "/run/street/thermometer" }
		reader = { port = "/run/street/qr", providers = ["simulated", "document-number"] }
		gate = { driver = "lcus", port = "/run/street/gate" }
	END
}
provision() {
	edge-agent provision --answers $answers
}

# Starts the unit with systemd, or without it emulates the unit: secrets, user, read-only file system.
unit_value() { sed -n "s/^$1=//p" $unit; }
as_service() {
	if [ -d /run/systemd/system ]; then systemctl start edge-agent && return; fi
	user=$(unit_value User) credentials=/run/credentials/edge-agent.service
	install -d -m 0500 -o "$user" $credentials
	unit_value LoadCredential | while IFS=: read -r name stored; do
		[ ! -f "/etc/credstore/$stored" ] || install -m 0400 -o "$user" "/etc/credstore/$stored" "$credentials/$name"
	done
	# shellcheck disable=SC2016,SC2046 # the inner shell expands them; ExecStart is a command and its arguments
	unshare --mount sh -euc '
		state=/var/lib/$1 && shift
		mount --bind "$state" "$state"
		mount -o remount,bind,ro /
		mount -t tmpfs tmpfs /tmp
		cd /
		umask "$1" && shift
		exec "$@"' - "$(unit_value StateDirectory)" "$(unit_value UMask)" \
		setpriv --reuid="$user" --regid="$(unit_value Group)" --init-groups --bounding-set=-all --inh-caps=-all --no-new-privs \
		env -i PATH=/usr/local/bin:/usr/bin:/bin CREDENTIALS_DIRECTORY=$credentials $(unit_value ExecStart) >agent.log 2>&1 &
}
passage() {
	as_service
	for _ in $(seq 600); do
		[ ! -s passed.json ] || { cat passed.json && return; }
		sleep 0.1
	done
	tail -n 20 agent.log street.log city.log >&2 && return 1
}

echo "127.0.0.1 localhost city.example" >/etc/hosts
step "platform: programs" programs
step "platform: authority, broker, keys" authority
step "platform: running" services
step "street: devices plugged in" plug_in
installer_step "install --apply" sh wheelhouse/install.sh install --apply
invited "$(edge-agent provision --serial)"
installer_step "provision --answers" provision
installer_step "start as the service, one resident passes, the platform has the records" passage
echo "$morning s: from a bare box to the first passage"
step "ledger verify" edge-platform ledger verify gate-1 --data $city/data
step "doctor" sh -c 'edge-agent doctor --json >doctor.json || true'
python3 -c 'import json
for line in json.load(open("doctor.json")):
    if line["status"] != "ok": print(line["status"], line["check"], line["found"], line["remedy"], sep=" | ")'
