#!/bin/sh
# bare_box_morning.sh: what bare_box.sh does inside the box, in a namespace with loopback alone. A city with the
# product's own commands, then the installer's morning: install, provision, the service as its unit says, one resident
# who passes. Prints the seconds of each step; the steps of the morning are added up, those of the city are not.
set -eu
cd /root
city=/srv/city answers=/root/answers.toml unit=/etc/systemd/system/edge-agent.service
export PATH="$city/venv/bin:$PATH" LANG=C.UTF-8
morning=0

now() { date +%s.%N; }
since() { awk -v a="$1" -v b="$(now)" 'BEGIN { printf "%.1f", b - a }'; }
step() { # step NAME COMMAND...: the city's
	name=$1 began=$(now) && shift
	"$@"
	took=$(since "$began")
	echo "$took s: $name"
}
mine() { # the same, of the installer's morning
	step "$@"
	morning=$(awk -v a="$morning" -v b="$took" 'BEGIN { printf "%.1f", a + b }')
}
listening() { # listening PORT: wait until somebody does
	for _ in $(seq 200); do
		python3 -c "import socket; socket.create_connection(('127.0.0.1', $1)).close()" 2>/dev/null && return
		sleep 0.1
	done
	echo "nobody listens on $1" >&2 && return 1
}

# The city: another machine, played by this one, with an environment of its own.
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

# The box. What the installer brings: the sheet's text and two files from the platform.
invited() {
	code=$(edge-platform boxes token "$1" --name gate-1 --accept --json --data $city/data | python3 -c 'import json, sys; print(json.load(sys.stdin)["code"])')
	cat >$answers <<-END
		checkpoint = "南门 South gate"
		platform_url = "mqtts://city.example:8883"
		invitation = "$code"
		community_key = "$city/data/keys/community.key"
		signing_key = "$city/data/keys/orders.pub"
		staff_pin = "918273"
		probe = false  # a pseudo-terminal is no port that udev knows

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

# Where systemd runs, it; else what it does with the unit: its secrets, its user, nothing to write on but its own folder.
said() { sed -n "s/^$1=//p" $unit; }
as_service() {
	if [ -d /run/systemd/system ]; then systemctl start edge-agent && return; fi
	user=$(said User) credentials=/run/credentials/edge-agent.service
	install -d -m 0500 -o "$user" $credentials
	said LoadCredential | while IFS=: read -r name stored; do
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
		exec "$@"' - "$(said StateDirectory)" "$(said UMask)" \
		setpriv --reuid="$user" --regid="$(said Group)" --init-groups --bounding-set=-all --inh-caps=-all --no-new-privs \
		env -i PATH=/usr/local/bin:/usr/bin:/bin CREDENTIALS_DIRECTORY=$credentials $(said ExecStart) >agent.log 2>&1 &
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
step "the city: programs" programs
step "the city: authority, broker, keys" authority
step "the city: running" services
step "street: devices plugged in" plug_in
mine "install --apply" sh wheelhouse/install.sh install --apply
invited "$(edge-agent provision --serial)"
mine "provision --answers" provision
mine "start as the service, one resident passes, the platform has it" passage
echo "$morning s: from a bare box to the first passage"
step "the platform proves it" edge-platform ledger verify gate-1 --data $city/data
step "doctor" sh -c 'edge-agent doctor --json >doctor.json || true'
python3 -c 'import json
for line in json.load(open("doctor.json")):
    if line["status"] != "ok": print(line["status"], line["check"], line["found"], line["remedy"], sep=" | ")'
