#!/bin/bash
# Run in a guest: the conformance suite over zoned disks of three kinds, and a node over one of them.
#
#   zone_disks.sh tier_zone_conformance [zslabd [test_warm.py]]
#
# With the first program alone: the suite over the namespace as a generic device, which may take little at once.
# Ends with "all zoned disks conform", else with 1 and what failed.

set -uo pipefail

conformance=$1
zslabd=${2:-}
warm_test=${3:-}
cd /tmp || exit 1

fail() {
	echo "failed: $*"
	exit 1
}

check() { # check NAME DEVICE
	echo "--- $1: $2"
	ZS_ZONE_DEVICE=$2 timeout 300 "$conformance" >/tmp/conformance.log 2>&1 || {
		cat /tmp/conformance.log
		fail "$1 does not conform"
	}
	grep -E "PASSED|not tested" /tmp/conformance.log
}

check "ZNS namespace, NVMe passthrough" "$ZS_ZNS_GENERIC"
if [ -z "$zslabd" ]; then
	echo "all zoned disks conform"
	exit
fi
check "ZNS namespace, block device" "$ZS_ZNS_BLOCK"

# null_blk: 16 zones of 2 MB, of which 1 MB can be written, 3 open, 5 active.
modprobe null_blk nr_devices=0 || fail "no null_blk"
mkdir -p /sys/kernel/config && mount -t configfs none /sys/kernel/config 2>/dev/null
null=/sys/kernel/config/nullb/nullb0
mkdir $null || fail "null_blk cannot be configured"
for setting in blocksize=4096 size=32 memory_backed=1 zoned=1 zone_size=2 zone_capacity=1 zone_max_open=3 \
	zone_max_active=5 power=1; do
	echo "${setting#*=}" >$null/"${setting%=*}" || fail "null_blk: $setting"
done
check "null_blk" /dev/nullb0

echo "--- a node over the ZNS namespace"
refused() { # refused WANTED ARGUMENTS...
	local wanted=$1
	shift
	timeout 20 "$zslabd" --port 7999 --memory 16mb "$@" >/tmp/refused.log 2>&1 && fail "it started: $*"
	grep -q "$wanted" /tmp/refused.log || {
		cat /tmp/refused.log
		fail "no word of '$wanted'"
	}
}
mkdir -p /tmp/journal
refused "'warm-journal' has to name a folder" --warm "$ZS_ZNS_GENERIC"
refused "warm-format = yes" --warm "$ZS_ZNS_GENERIC" --warm-journal /tmp/journal
refused "fewer than it was said to have" --warm "$ZS_ZNS_GENERIC:10gb" --warm-journal /tmp/journal
modprobe brd rd_nr=1 rd_size=65536 || fail "no disk in memory"
refused "not a zoned device" --warm /dev/ram0 --warm-journal /tmp/journal
# Under emulation these take minutes, so only scripts/soak has them.
if [ -n "$warm_test" ]; then
	ZSLABD=$zslabd ZS_WARM_DEVICE=$ZS_ZNS_GENERIC PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 "$warm_test" ||
		fail "the node's tests"
fi
echo "all zoned disks conform"
