/* The adapter: protection domain, completion queue, registered memory. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "common/error.h"
#include "common/rdma_internal.h"

static unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

int zs_rdma_watch(struct zs_rdma *rdma, int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -1;
	return epoll_ctl(rdma->epoll, EPOLL_CTL_ADD, fd, &event);
}

/* Whether it is what we were made for; iWARP adapters change queue pairs by rules of their own. */
static int look_at(struct zs_rdma_device *device, const struct zs_rdma_options *options, char *why, size_t why_size)
{
	const char *name = ibv_get_device_name(device->verbs->device);
	struct ibv_device_attr attributes;

	if (device->verbs->device->transport_type != IBV_TRANSPORT_IB) {
		snprintf(why, why_size, "the device %s is neither InfiniBand nor RoCE", name);
		return ZS_ESYS;
	}
	errno = ibv_query_device(device->verbs, &attributes);
	if (errno) {
		snprintf(why, why_size, "cannot query the device %s: %s", name, strerror(errno));
		return ZS_ESYS;
	}
	if (attributes.max_qp_rd_atom < 1 || attributes.max_qp_init_rd_atom < 1) {
		snprintf(why, why_size, "the device %s cannot read remote memory", name);
		return ZS_ESYS;
	}
	device->depth_in = least(options->depth, (unsigned)attributes.max_qp_rd_atom);
	device->depth_out = least(options->depth, (unsigned)attributes.max_qp_init_rd_atom);
	if (attributes.max_qp_wr < (int)options->reads ||
	    (uint64_t)attributes.max_cqe < (uint64_t)options->reads * options->connections) {
		snprintf(why, why_size,
			 "the device %s allows %d requests for a queue pair and %d completions, but %u reads on each "
			 "of %u connections are wanted",
			 name, attributes.max_qp_wr, attributes.max_cqe, options->reads, options->connections);
		return ZS_EINVAL;
	}
	return ZS_OK;
}

static int fill_in(struct zs_rdma *rdma, char *why, size_t why_size)
{
	struct zs_rdma_device *device = &rdma->device;
	const char *what = "a protection domain";

	device->pd = ibv_alloc_pd(device->verbs);
	if (!device->pd)
		goto failed;
	what = "a completion channel";
	device->channel = ibv_create_comp_channel(device->verbs);
	if (!device->channel)
		goto failed;
	what = "a completion queue";
	device->cq = ibv_create_cq(device->verbs, (int)(rdma->options.reads * rdma->options.connections), NULL,
				   device->channel, 0);
	if (!device->cq)
		goto failed;
	what = "the device's descriptors";
	if (zs_rdma_watch(rdma, device->channel->fd) || zs_rdma_watch(rdma, device->verbs->async_fd))
		goto failed;
	return ZS_OK;
failed:
	snprintf(why, why_size, "cannot get %s of the device %s: %s", what, ibv_get_device_name(device->verbs->device),
		 strerror(errno));
	return errno == ENOMEM ? ZS_ENOMEM : ZS_ESYS;
}

int zs_rdma_device_use(struct zs_rdma *rdma, struct ibv_context *verbs, char *why, size_t why_size)
{
	int error;

	if (rdma->device.verbs == verbs)
		return ZS_OK;
	if (rdma->device.verbs) {
		snprintf(why, why_size, "the way there is by the device %s, but %s is in use",
			 ibv_get_device_name(verbs->device), ibv_get_device_name(rdma->device.verbs->device));
		return ZS_EINVAL;
	}
	rdma->device.verbs = verbs;
	error = look_at(&rdma->device, &rdma->options, why, why_size);
	if (!error)
		error = fill_in(rdma, why, why_size);
	if (error)
		zs_rdma_device_release(rdma);
	return error;
}

void zs_rdma_device_release(struct zs_rdma *rdma)
{
	struct zs_rdma_device *device = &rdma->device;

	if (rdma->arena)
		ibv_dereg_mr(rdma->arena);
	rdma->arena = NULL;
	if (device->cq)
		ibv_destroy_cq(device->cq);
	if (device->channel) {
		epoll_ctl(rdma->epoll, EPOLL_CTL_DEL, device->channel->fd, NULL);
		ibv_destroy_comp_channel(device->channel);
	}
	if (device->pd)
		ibv_dealloc_pd(device->pd);
	/* The context itself is librdmacm's, and so stays open. */
	if (device->verbs)
		epoll_ctl(rdma->epoll, EPOLL_CTL_DEL, device->verbs->async_fd, NULL);
	memset(device, 0, sizeof(*device));
}

int zs_rdma_device_offer(struct zs_rdma *rdma, char *why, size_t why_size)
{
	if (rdma->arena)
		return ZS_OK;
	rdma->arena = ibv_reg_mr(rdma->device.pd, rdma->offer.arena, rdma->offer.arena_size, IBV_ACCESS_REMOTE_READ);
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
	(*memory)->mr = ibv_reg_mr(rdma->device.pd, base, size, IBV_ACCESS_LOCAL_WRITE);
	if ((*memory)->mr)
		return ZS_OK;
	free(*memory);
	*memory = NULL;
	return ZS_ENOMEM;
}

void zs_rdma_memory_remove(struct zs_rdma_memory *memory)
{
	if (!memory)
		return;
	ibv_dereg_mr(memory->mr);
	free(memory);
}
