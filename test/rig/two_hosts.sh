#!/bin/bash
# Run in a guest: makes two hosts of it, each with a network device and a soft-RoCE device, joined by a bridge, and runs
# a command. What goes from one of its addresses to the other really crosses the wire, which can be cut.
#
#   two_hosts.sh COMMAND...
#
# Programs that bind 10.78.0.2 are on the second host; everybody who connects to it comes from the first, 10.78.0.1.
# The command gets ZS_RDMA_ADDRESS (of the second host), ZS_RDMA_DEVICE (of the first) and ZS_RDMA_WIRE, the second
# host's end of the bridge: `ip link set $ZS_RDMA_WIRE nomaster` cuts it, `master joint` heals it.

set -euo pipefail

# Both hosts are one kernel: it must not shorten the way between its own addresses.
allow_own_addresses() {
	echo 1 >/proc/sys/net/ipv4/conf/all/accept_local
	echo 0 >/proc/sys/net/ipv4/conf/all/rp_filter
	echo 1 >/proc/sys/net/ipv4/conf/all/arp_ignore
	echo 2 >/proc/sys/net/ipv4/conf/all/arp_announce
}

# add_host NUMBER OTHER
add_host() {
	ip link add "host$1" address "52:54:00:78:00:0$1" type veth peer name "wire$1"
	ip link set "wire$1" master joint up
	ip addr add "10.78.0.$1/24" dev "host$1"
	ip link set "host$1" up
	ip route add 10.78.0.0/24 dev "host$1" src "10.78.0.$1" table "10$1"
	# What came in by a device is for its address; what has an address as its source leaves by its device.
	ip rule add pref "1$1" iif "host$1" lookup local
	ip rule add pref "2$1" from "10.78.0.$1" to "10.78.0.$1" lookup local
	ip rule add pref "3$1" from "10.78.0.$1" to 10.78.0.0/24 lookup "10$1"
	# The first resolution would take its whole timeout.
	ip neigh replace "10.78.0.$2" lladdr "52:54:00:78:00:0$2" dev "host$1" nud permanent
	rdma link add "device$1" type rxe netdev "host$1"
}

allow_own_addresses
ip link add joint type bridge
ip link set joint up
add_host 1 2
add_host 2 1
# Whoever does not say where he comes from and wants to go to the second host is on the first.
ip rule add pref 40 iif lo to 10.78.0.2 lookup 101
ip rule add pref 100 lookup local
ip rule del pref 0

export ZS_RDMA_ADDRESS=10.78.0.2 ZS_RDMA_DEVICE=device1 ZS_RDMA_WIRE=wire2
exec "$@"
