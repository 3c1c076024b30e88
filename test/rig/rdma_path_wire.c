#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "test/rig/rdma_path.h"

static void run(const char *command)
{
	int status = system(command);

	if (status)
		fail_msg("'%s' ends with %d", command, status);
}

bool path_prepare(void)
{
	if (!getenv("ZS_RDMA_ADDRESS") || !getenv("ZS_RDMA_DEVICE")) {
		fprintf(stderr, "no RDMA device: ZS_RDMA_ADDRESS and ZS_RDMA_DEVICE are not set\n");
		return false;
	}
	return !getenv("ZS_RDMA_WIRE") ||
	       !system("modprobe -a sch_ingress cls_u32 act_gact && tc qdisc replace dev $ZS_RDMA_WIRE clsact");
}

uint16_t path_port(void)
{
	return 7480;
}

uint64_t path_received(void)
{
	char path[256];
	unsigned long long value = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/sys/class/infiniband/%s/ports/1/hw_counters/rcvd_pkts",
		 getenv("ZS_RDMA_DEVICE"));
	file = fopen(path, "r");
	assert_non_null(file);
	assert_int_equal(fscanf(file, "%llu", &value), 1);
	fclose(file);
	return value;
}

/* RoCE is UDP to port 4791. */
void path_cut_rdma(void)
{
	run("tc filter add dev $ZS_RDMA_WIRE ingress protocol ip u32 match ip protocol 17 0xff "
	    "match ip dport 4791 0xffff action drop");
}

void path_heal_rdma(void)
{
	run("tc filter del dev $ZS_RDMA_WIRE ingress");
}

bool path_can_cut_all(void)
{
	return true;
}

void path_cut_all(void)
{
	run("ip link set $ZS_RDMA_WIRE nomaster");
}

void path_heal_all(void)
{
	run("ip link set $ZS_RDMA_WIRE master joint");
}

unsigned path_patience(void)
{
	return 4000;
}
