#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <unistd.h>

#include "test/client/soft_faults.h"
#include "test/rig/rdma_path.h"

bool path_prepare(void)
{
	return soft_load();
}

uint16_t path_port(void)
{
	return (uint16_t)(20000 + getpid() % 2000 * 10);
}

uint64_t path_received(void)
{
	return soft_value("reads") + soft_value("received");
}

void path_cut_rdma(void)
{
	soft_fault("cut", 1);
}

void path_heal_rdma(void)
{
	soft_fault("cut", 0);
}

bool path_can_cut_all(void)
{
	return false;
}

void path_cut_all(void)
{
	fail_msg("TCP of this machine cannot be cut");
}

void path_heal_all(void)
{
}

unsigned path_patience(void)
{
	return 2000;
}
