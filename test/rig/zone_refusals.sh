#!/bin/bash
# Run in a guest: what a node says of devices that it cannot or must not use for its warm tier, and how it speaks to
# those that it can.
#
#   zone_refusals.sh zslabd
#
# Ends with "all refused", else with 1 and what was not.

set -uo pipefail

zslabd=$1
failures=0
cd /tmp || exit 1
mkdir -p /tmp/journal
chmod 777 /tmp/journal

# refused WHAT WANTED WARM [PROGRAM...]: a node with warm = WARM has to end by itself and say WANTED. Goes on after a failure.
refused() {
	local what=$1 wanted=$2 warm=$3 status
	shift 3
	timeout 20 "$@" "$zslabd" --port 7999 --memory 16mb --warm "$warm" --warm-journal /tmp/journal --warm-format yes \
		>/tmp/refused.log 2>&1
	status=$?
	if [ $status -eq 124 ]; then
		echo "failed: $what: the node started"
		failures=$((failures + 1))
	elif ! grep -q "$wanted" /tmp/refused.log; then
		echo "failed: $what: no word of '$wanted':"
		cat /tmp/refused.log
		failures=$((failures + 1))
	else
		echo "$what: $(grep "$wanted" /tmp/refused.log)"
	fi
}

# null NUMBER SETTING=VALUE...: makes /dev/nullbNUMBER.
null() {
	local folder=/sys/kernel/config/nullb/nullb$1 setting
	shift
	mkdir "$folder" || exit 1
	for setting in memory_backed=1 zoned=1 zone_size=2 size=32 blocksize=4096 "$@" power=1; do
		echo "${setting#*=}" >"$folder/${setting%=*}" || exit 1
	done
}

# held DEVICE COMMAND...: runs it while another process has the block device for itself, as a mounted file system has.
held() {
	local device=$1 holder
	shift
	rm -f /tmp/held
	python3 -c '
import os, sys, time
os.open(sys.argv[1], os.O_RDONLY | os.O_EXCL)
open("/tmp/held", "w").close()
time.sleep(60)' "$device" &
	holder=$!
	until [ -e /tmp/held ]; do
		kill -0 $holder || exit 1
		sleep 0.1
	done
	"$@"
	kill $holder
	wait $holder 2>/dev/null
}

# taken WANTED WARM [PROGRAM...]: a node starts, and says WANTED of how it speaks to the disk.
taken() {
	local wanted=$1 warm=$2 folder
	shift 2
	folder=$(mktemp -d)
	chmod 777 "$folder"
	timeout 6 "$@" "$zslabd" --port 7999 --memory 16mb --warm "$warm" --warm-journal "$folder" --warm-format yes \
		>/tmp/taken.log 2>&1
	if grep -q "msg=\"disk of the warm tier\" path=$warm by=\"$wanted\"" /tmp/taken.log &&
		grep -q 'msg="warm tier"' /tmp/taken.log; then
		echo "$warm: $wanted"
	else
		echo "failed: $warm is not taken as $wanted:"
		cat /tmp/taken.log
		failures=$((failures + 1))
	fi
}

# same_disk: what was begun in NVMe's commands goes on as a block device.
same_disk() {
	local folder
	folder=$(mktemp -d)
	timeout 6 "$zslabd" --port 7999 --memory 16mb --warm "$ZS_ZNS_GENERIC" --warm-journal "$folder" --warm-format yes \
		>/tmp/first.log 2>&1
	timeout 6 "${no_admin[@]}" "$zslabd" --port 7999 --memory 16mb --warm "$ZS_ZNS_BLOCK" --warm-journal "$folder" \
		>/tmp/second.log 2>&1
	if grep -q 'by="block device"' /tmp/second.log && grep 'msg="warm tier".* start=clean' /tmp/second.log; then
		return
	fi
	echo "failed: the block device is not taken for the same disk:"
	cat /tmp/first.log /tmp/second.log
	failures=$((failures + 1))
}

modprobe null_blk nr_devices=0 || exit 1
mkdir -p /sys/kernel/config && mount -t configfs none /sys/kernel/config 2>/dev/null
null 0
null 1 blocksize=512
null 2 zone_nr_conv=2
null 3 size=4
null 4 zoned=0
other=(setpriv --reuid 65534 --regid 65534 --clear-groups --)
no_admin=(setpriv --bounding-set -sys_admin --inh-caps -sys_admin --)

refused "blocks of 512 bytes" "needs 4096: format it" /dev/nullb1
refused "conventional zones" "is not like the others" /dev/nullb2
refused "two zones" "needs at least" /dev/nullb3
refused "no zones" "is not a zoned device" /dev/nullb4
refused "no permission, block device" "not permitted to" /dev/nullb0 "${other[@]}"
held /dev/nullb0 refused "in use, block device" "is in use" /dev/nullb0

if [ -n "${ZS_ZNS_GENERIC:-}" ]; then
	refused "no permission, generic device" "not permitted to" "$ZS_ZNS_GENERIC" "${other[@]}"
	chmod 666 "$ZS_ZNS_GENERIC"
	refused "no rights for NVMe commands" "CAP_SYS_ADMIN" "$ZS_ZNS_GENERIC" "${other[@]}"
	held "$ZS_ZNS_BLOCK" refused "in use, block device of a generic one" "is in use" "$ZS_ZNS_GENERIC"
	held "$ZS_ZNS_BLOCK" refused "in use, namespace as block device" "is in use" "$ZS_ZNS_BLOCK"
	taken "NVMe commands by io_uring" "$ZS_ZNS_GENERIC"
	taken "NVMe commands by io_uring" "$ZS_ZNS_BLOCK"
	chmod 666 "$ZS_ZNS_BLOCK"
	taken "block device" "$ZS_ZNS_BLOCK" "${other[@]}"
	same_disk
	refused "a controller" "is no NVMe namespace" /dev/nvme0
fi
taken "block device" /dev/nullb0
refused "no NVMe at all" "is no NVMe namespace" /dev/null
refused "no such device" "no such device" /dev/ng9n9:64mb
[ ! -e /dev/ng9n9 ] || { echo "failed: a folder was made at /dev/ng9n9"; failures=$((failures + 1)); }

[ $failures -eq 0 ] || exit 1
echo "all refused"
