#!/bin/bash
# A node that listens by RDMA, and rdma_sessions against it. Run in a guest, or with soft verbs.
#
#   rdma_sessions.sh ZSLABD PROGRAM SESSIONS
#
# Ends with "rdma sessions work", else with another exit code than 0 and the reason.

set -uo pipefail

fail() {
	echo "failed: $*"
	exit 1
}

[ $# -eq 3 ] || fail "usage: rdma_sessions.sh ZSLABD PROGRAM SESSIONS"
[ -n "${ZS_RDMA_ADDRESS:-}" ] || fail "ZS_RDMA_ADDRESS is not set: there is no RDMA device"

log=$(mktemp)
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])')
"$1" --bind "${ZS_RDMA_BIND:-$ZS_RDMA_ADDRESS}" --port "$port" --rdma yes --rdma-connections "$3" --requirepass secret --lease 500 \
	--memory 64mb --logfile "$log" &
node=$!
for _ in $(seq 100); do
	grep -q "listening by RDMA" "$log" && break
	kill -0 $node 2>/dev/null || break
	sleep 0.1
done
grep "RDMA" "$log" || fail "the node does not listen by RDMA: $(cat "$log")"
"$2" "$port" "$3" $node
status=$?
kill $node
wait $node || { cat "$log"; fail "the node ended with status $?"; }
[ $status -eq 0 ] || cat "$log"
exit $status
