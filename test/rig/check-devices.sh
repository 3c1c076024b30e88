#!/bin/bash
# Run in a guest by test_vm.py: is the device there that the environment promises, and does it work?
#
#   check-devices.sh rdma [ADDRESS] | serve | zones
#
# rdma reads from another process' memory, here or in the guest at ADDRESS, and looks at the device's own counters;
# zones appends to a zone and reads it back. Ends with "rdma works" or "zones work", else with 1 and the reason.

set -uo pipefail

reads=300
lba_size=4096

fail() {
	echo "failed: $*"
	exit 1
}

need() { # need VARIABLE
	[ -n "${!1:-}" ] || fail "$1 is not set: there is no such device"
}

counter() { # counter NAME
	cat "/sys/class/infiniband/$ZS_RDMA_DEVICE/ports/1/hw_counters/$1"
}

# The server answers one client and ends; the client comes again until it listens.
read_remote_memory() { # read_remote_memory ADDRESS
	local tries
	for tries in $(seq 60); do
		ib_read_lat -d "$ZS_RDMA_DEVICE" -s 256 -n $reads -F "$1" >/tmp/client.log 2>&1 && return 0
		sleep 0.5
	done
	cat /tmp/client.log
	fail "no RDMA READ from $1 in $tries tries"
}

serve_memory() {
	timeout 120 ib_read_lat -d "$ZS_RDMA_DEVICE" -s 256 -n $reads -F >/tmp/server.log 2>&1
}

check_rdma() { # check_rdma [ADDRESS]
	local sent received address=${1:-}
	need ZS_RDMA_ADDRESS
	need ZS_RDMA_DEVICE
	ibv_devinfo -d "$ZS_RDMA_DEVICE" | grep PORT_ACTIVE >/dev/null || fail "$ZS_RDMA_DEVICE has no active port"
	sent=$(counter sent_pkts)
	received=$(counter rcvd_pkts)
	if [ -z "$address" ]; then
		serve_memory &
		address=$ZS_RDMA_ADDRESS
	fi
	read_remote_memory "$address"
	sent=$(($(counter sent_pkts) - sent))
	received=$(($(counter rcvd_pkts) - received))
	echo "$reads reads, $sent packets sent, $received received"
	if [ "$sent" -lt $reads ] || [ "$received" -lt $reads ]; then
		fail "the device's counters saw fewer packets than reads"
	fi
	echo "rdma works"
}

# The field of the second zone (WP, Cap, State) as nvme-cli reports it.
second_zone() { # second_zone FIELD
	nvme zns report-zones "$ZS_ZNS_GENERIC" --start-lba=0x1000 --descs=1 | sed -n "s/^SLBA: 0x1000 .*$1: \([^ ]*\).*/\1/p"
}

expect() { # expect WHAT SEEN WANTED
	[ "$2" = "$3" ] || fail "$1 is '$2', not '$3'"
}

check_zones() {
	need ZS_ZNS_GENERIC
	need ZS_ZNS_BLOCK
	expect "the block size" "$(blockdev --getss "$ZS_ZNS_BLOCK")" $lba_size
	expect "the zone's capacity" "$(second_zone Cap)" 0xc00
	expect "the write pointer of an empty zone" "$(second_zone WP)" 0x1000
	head -c $((2 * lba_size)) /dev/urandom >/tmp/data
	nvme zns zone-append "$ZS_ZNS_GENERIC" --namespace-id=1 --zslba=0x1000 --data=/tmp/data \
		--data-size=$((2 * lba_size)) || fail "cannot append"
	expect "the write pointer after two blocks" "$(second_zone WP)" 0x1002
	dd if="$ZS_ZNS_BLOCK" of=/tmp/back bs=$lba_size skip=$((0x1000)) count=2 iflag=direct status=none || fail "cannot read"
	cmp /tmp/data /tmp/back || fail "other data came back"
	if dd if=/tmp/data of="$ZS_ZNS_BLOCK" bs=$lba_size seek=$((0x1005)) count=1 oflag=direct status=none 2>/dev/null; then
		fail "a write beyond the write pointer was taken"
	fi
	nvme zns reset-zone "$ZS_ZNS_GENERIC" --namespace-id=1 --start-lba=0x1000 || fail "cannot reset the zone"
	expect "the write pointer after the reset" "$(second_zone WP)" 0x1000
	echo "zones work"
}

case "${1:-}" in
rdma) check_rdma "${2:-}" ;;
serve) serve_memory ;;
zones) check_zones ;;
*) fail "unknown device '${1:-}'" ;;
esac
