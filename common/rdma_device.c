/* The adapter: protection domain, completion queue, registered memory. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "common/error.h"
#include "common/rdma_internal.h"

int zs_rdma_watch(struct zs_rdma *rdma, int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -1;
	return epoll_ctl(rdma->epoll, EPOLL_CTL_ADD, fd, &event);
}

unsigned zs_rdma_completions(const struct zs_rdma *rdma)
{
	return rdma->requests_max * rdma->options.connections + rdma->options.receives;
}

static int check_sizes(const struct zs_rdma *rdma, const struct ibv_device_attr *device, const char *name, char *why,
		       size_t why_size)
{
	const struct {
		const char *what;
		uint64_t wanted;
		int possible;
	} sizes[] = {
		{ "requests for a queue pair", rdma->requests_max, device->max_qp_wr },
		{ "completions", zs_rdma_completions(rdma), device->max_cqe },
		{ "receive requests of a shared queue", rdma->options.receives,
		  device->max_srq ? device->max_srq_wr : 0 },
		{ "READs at a time", 1, device->max_qp_rd_atom },
		{ "READs at a time of others", 1, device->max_qp_init_rd_atom },
	};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		if (sizes[i].possible >= 0 && sizes[i].wanted <= (uint64_t)sizes[i].possible)
			continue;
		snprintf(why, why_size, "the device %s allows %d %s, but %llu are needed", name, sizes[i].possible,
			 sizes[i].what, (unsigned long long)sizes[i].wanted);
		return ZS_EINVAL;
	}
	return ZS_OK;
}

/* Whether it is what we were made for; iWARP adapters change queue pairs by rules of their own. */
static int look_at(struct zs_rdma *rdma, char *why, size_t why_size)
{
	struct zs_rdma_device *device = &rdma->device;
	const char *name = zs_verbs.ibv_get_device_name(device->verbs->device);
	struct ibv_device_attr attributes;
	int error;

	if (device->verbs->device->transport_type != IBV_TRANSPORT_IB) {
		snprintf(why, why_size, "the device %s is neither InfiniBand nor RoCE", name);
		return ZS_ESYS;
	}
	error = zs_verbs.ibv_query_device(device->verbs, &attributes);
	if (error) {
		snprintf(why, why_size, "cannot query the device %s: %s", name, strerror(error));
		return ZS_ESYS;
	}
	error = check_sizes(rdma, &attributes, name, why, why_size);
	if (error)
		return error;
	device->depth_in = zs_rdma_least(rdma->options.depth, (unsigned)attributes.max_qp_rd_atom);
	device->depth_out = zs_rdma_least(rdma->options.depth, (unsigned)attributes.max_qp_init_rd_atom);
	return ZS_OK;
}

static int fill_in(struct zs_rdma *rdma, char *why, size_t why_size)
{
	struct zs_rdma_device *device = &rdma->device;
	struct ibv_srq_init_attr queue = { .attr = { .max_wr = rdma->options.receives, .max_sge = 1 } };
	const char *what = "a protection domain";

	device->pd = zs_verbs.ibv_alloc_pd(device->verbs);
	if (!device->pd)
		goto failed;
	what = "a completion channel";
	device->channel = zs_verbs.ibv_create_comp_channel(device->verbs);
	if (!device->channel)
		goto failed;
	what = "a completion queue";
	device->cq = zs_verbs.ibv_create_cq(device->verbs, (int)zs_rdma_completions(rdma), NULL, device->channel, 0);
	if (!device->cq)
		goto failed;
	what = "a shared receive queue";
	device->srq = zs_verbs.ibv_create_srq(device->pd, &queue);
	if (!device->srq)
		goto failed;
	what = "pinned memory for messages (see ulimit -l)";
	errno = zs_rdma_buffers_register(rdma);
	if (errno)
		goto failed;
	what = "the device's descriptors";
	if (zs_rdma_watch(rdma, device->channel->fd) || zs_rdma_watch(rdma, device->verbs->async_fd))
		goto failed;
	return ZS_OK;
failed:
	snprintf(why, why_size, "cannot get %s of the device %s: %s", what,
		 zs_verbs.ibv_get_device_name(device->verbs->device), strerror(errno));
	return errno == ENOMEM ? ZS_ENOMEM : ZS_ESYS;
}

int zs_rdma_device_use(struct zs_rdma *rdma, const struct rdma_cm_id *id, char *why, size_t why_size)
{
	int error;

	if (rdma->device.verbs == id->verbs)
		return ZS_OK;
	if (rdma->device.verbs) {
		snprintf(why, why_size, "the way there is by the device %s, but %s is in use",
			 zs_verbs.ibv_get_device_name(id->verbs->device), zs_rdma_device_name(rdma));
		return ZS_EINVAL;
	}
	rdma->device.verbs = id->verbs;
	error = look_at(rdma, why, why_size);
	if (!error)
		error = fill_in(rdma, why, why_size);
	if (error)
		zs_rdma_device_release(rdma);
	return error;
}

const char *zs_rdma_device_name(const struct zs_rdma *rdma)
{
	return rdma->device.verbs ? zs_verbs.ibv_get_device_name(rdma->device.verbs->device) : "";
}

bool zs_rdma_has_windows(const struct zs_rdma *rdma)
{
	return rdma->device.has_windows;
}

void zs_rdma_device_release(struct zs_rdma *rdma)
{
	struct zs_rdma_device *device = &rdma->device;

	if (rdma->arena)
		zs_verbs.ibv_dereg_mr(rdma->arena);
	rdma->arena = NULL;
	if (device->srq)
		zs_verbs.ibv_destroy_srq(device->srq);
	if (device->buffers_mr) {
		rdma->pinned -= device->buffers_mr->length;
		zs_verbs.ibv_dereg_mr(device->buffers_mr);
	}
	if (device->cq)
		zs_verbs.ibv_destroy_cq(device->cq);
	if (device->channel) {
		epoll_ctl(rdma->epoll, EPOLL_CTL_DEL, device->channel->fd, NULL);
		zs_verbs.ibv_destroy_comp_channel(device->channel);
	}
	if (device->pd)
		zs_verbs.ibv_dealloc_pd(device->pd);
	/* The context itself is librdmacm's, and so stays open. */
	if (device->verbs)
		epoll_ctl(rdma->epoll, EPOLL_CTL_DEL, device->verbs->async_fd, NULL);
	memset(device, 0, sizeof(*device));
}

int zs_rdma_device_offer(struct zs_rdma *rdma, const struct rdma_cm_id *id, char *why, size_t why_size)
{
	/* A window is what gives rights then; that the region may be written by the adapter itself is asked for by the
	 * verbs. */
	int rights = IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_MW_BIND;

	if (rdma->arena)
		return ZS_OK;
	rdma->device.has_windows = zs_rdma_windows_work(&rdma->device, id);
	if (!rdma->device.has_windows)
		rights = IBV_ACCESS_REMOTE_READ;
	rdma->arena = zs_verbs.ibv_reg_mr(rdma->device.pd, rdma->offer.arena, rdma->offer.arena_size, rights);
	if (rdma->arena)
		return ZS_OK;
	snprintf(why, why_size, "cannot register %llu bytes of memory: %s (see ulimit -l)",
		 (unsigned long long)rdma->offer.arena_size, strerror(errno));
	return ZS_ENOMEM;
}

int zs_rdma_memory_add(struct zs_rdma *rdma, void *base, size_t size, struct zs_rdma_memory **memory)
{
	*memory = NULL;
	if (!rdma->device.pd)
		return ZS_EAGAIN;
	*memory = malloc(sizeof(**memory));
	if (!*memory)
		return ZS_ENOMEM;
	(*memory)->rdma = rdma;
	(*memory)->mr = zs_verbs.ibv_reg_mr(rdma->device.pd, base, size, IBV_ACCESS_LOCAL_WRITE);
	if ((*memory)->mr) {
		rdma->pinned += size;
		return ZS_OK;
	}
	free(*memory);
	*memory = NULL;
	return ZS_ENOMEM;
}

void zs_rdma_memory_remove(struct zs_rdma_memory *memory)
{
	if (!memory)
		return;
	memory->rdma->pinned -= memory->mr->length;
	zs_verbs.ibv_dereg_mr(memory->mr);
	free(memory);
}
