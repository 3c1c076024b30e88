#include "client/adapter.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

#include "client/internal.h"
#include "common/error.h"

/* A round trip takes some microseconds; who waits much longer than that had better sleep. */
#define SPIN_NS UINT64_C(300000)

/* Of one connection: READs under way at most, and messages each way. */
#define READS 256u
#define WINDOW 8u

static void on_event(void *owner, uint32_t events)
{
	(void)events;
	zs_adapter_pump(owner);
}

static unsigned at_most(uint64_t number, unsigned limit)
{
	return number < limit ? (unsigned)number : limit;
}

/* A connection that is closed is only gone after a while: there may be two to a node. */
static struct zs_rdma_options options_for(const struct zslab *client)
{
	uint64_t nodes = client->node_count;
	struct zs_rdma_options options;

	zs_rdma_options_init(&options);
	options.connections = at_most(2 * nodes, 4096);
	options.reads = READS;
	options.window = WINDOW;
	options.receives = at_most(WINDOW * nodes + 2, 65536);
	options.sends = at_most(WINDOW * nodes, 65536);
	options.connect_timeout_ms = (unsigned)(client->connect_timeout_ns / 1000000);
	return options;
}

int zs_adapter_open(struct zslab *client, char *why, size_t why_size)
{
	struct zs_adapter *adapter = &client->adapter;
	struct zs_rdma_options options = options_for(client);
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = &adapter->watch };
	int error;

	if (adapter->rdma)
		return ZSLAB_OK;
	error = zs_rdma_open(&adapter->rdma, &options, why, why_size);
	if (error) {
		adapter->rdma = NULL;
		return error == ZS_ENOMEM ? ZSLAB_ENOMEM : ZSLAB_ETRANSPORT;
	}
	adapter->watch = (struct zs_watch){ on_event, adapter };
	if (!epoll_ctl(client->epoll, EPOLL_CTL_ADD, zs_rdma_fd(adapter->rdma), &event))
		return ZSLAB_OK;
	snprintf(why, why_size, "cannot wait for the RDMA adapter: %s", strerror(errno));
	zs_adapter_close(client);
	return ZSLAB_ETRANSPORT;
}

void zs_adapter_close(struct zslab *client)
{
	zs_rdma_free(client->adapter.rdma);
	client->adapter.rdma = NULL;
}

bool zs_adapter_pump(struct zs_adapter *adapter)
{
	unsigned happened;

	if (!adapter->rdma || adapter->pumping)
		return false;
	adapter->pumping = true;
	happened = zs_rdma_pump(adapter->rdma);
	adapter->pumping = false;
	return happened > 0;
}

static bool is_busy(const struct zslab *client)
{
	for (unsigned i = 0; i < client->node_count; i++) {
		if (zs_session_is_busy(&client->nodes[i]))
			return true;
	}
	return false;
}

void zs_adapter_spin(struct zslab *client, uint64_t until_ns)
{
	unsigned in_flight = client->in_flight;
	uint64_t now = zs_now();

	if (!client->adapter.rdma || !is_busy(client))
		return;
	until_ns = until_ns < now + SPIN_NS ? until_ns : now + SPIN_NS;
	for (; client->in_flight >= in_flight && now < until_ns; now = zs_now()) {
		if (zs_adapter_pump(&client->adapter))
			zs_pump_all(client);
	}
}

void zs_adapter_await(struct zs_adapter *adapter, const struct zs_rdma_get *get)
{
	uint64_t until_ns = 0;

	/* Most are over before the clock is looked at. */
	for (unsigned i = 1; get->status == ZS_STEPS_FETCH; i++) {
		zs_adapter_pump(adapter);
		if (i % 16)
			continue;
		if (!until_ns)
			until_ns = zs_now() + SPIN_NS;
		else if (zs_now() >= until_ns)
			return;
	}
}

bool zs_adapter_arm(struct zs_adapter *adapter)
{
	bool armed;

	if (!adapter->rdma)
		return true;
	adapter->pumping = true;
	armed = zs_rdma_arm(adapter->rdma);
	adapter->pumping = false;
	return armed;
}
