#!/bin/bash
# Run in a guest: how long a plain READ takes there (ib_read_lat), then rdma_read, which prints its own beside it.
#
#   rdma_read.sh PROGRAM READS
#
# Ends with "rdma reads work", else with 1 and the reason.

set -uo pipefail

fail() {
	echo "failed: $*"
	exit 1
}

[ $# -eq 2 ] || fail "usage: rdma_read.sh PROGRAM READS"
[ -n "${ZS_RDMA_ADDRESS:-}" ] || fail "ZS_RDMA_ADDRESS is not set: there is no RDMA device"
[ -n "${ZS_RDMA_DEVICE:-}" ] || fail "ZS_RDMA_DEVICE is not set: there is no RDMA device"

# Prints the median in microseconds of one READ of 256 bytes.
baseline() {
	local server tries log
	log=$(mktemp)
	timeout 120 ib_read_lat -d "$ZS_RDMA_DEVICE" -s 256 -n 2000 -F >/dev/null 2>&1 &
	server=$!
	for tries in $(seq 60); do
		ib_read_lat -d "$ZS_RDMA_DEVICE" -s 256 -n 2000 -F "$ZS_RDMA_ADDRESS" >"$log" 2>&1 && break
		[ "$tries" -lt 60 ] || return 1
		sleep 0.5
	done
	wait "$server"
	awk '$1 == 256 { print $5 }' "$log"
}

median=$(baseline)
[ -n "$median" ] || fail "ib_read_lat did not work"
exec "$1" --reads "$2" --baseline-us "$median"
