#!/bin/bash
# Run in a guest: libzslab over RDMA. Every operation, the race against writers with a node that is killed, and what
# client_rdma does to a path and a node.
#
#   client_rdma.sh ZSLABD FOLDER CLIENT_RDMA SECONDS     FOLDER: where client_operations and client_race are
#
# Ends with "libzslab over RDMA works", else with 1 and the reason.

set -uo pipefail

fail() {
	echo "failed: $*"
	exit 1
}

[ $# -eq 4 ] || fail "usage: client_rdma.sh ZSLABD FOLDER CLIENT_RDMA SECONDS"
[ -n "${ZS_RDMA_ADDRESS:-}" ] || fail "ZS_RDMA_ADDRESS is not set: there is no RDMA device"

export ZSLABD=$1
"$2/client_operations" rdma || fail "client_operations rdma"
"$2/client_race" --via rdma --seconds "$4" --restarts 2 || fail "client_race --via rdma"
"$(dirname "$0")/two_hosts.sh" "$3" || fail "client_rdma"
echo "libzslab over RDMA works"
