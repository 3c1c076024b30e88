/* Calls of identifiers without a channel: they are over when they return, and what came of it is the last event. */
#include <errno.h>

#include "test/fake/soft/cm.h"

static int fetch(struct soft_id *id)
{
	if (id->id.event)
		rdma_ack_cm_event(id->id.event);
	id->id.event = NULL;
	return rdma_get_cm_event(id->id.channel, &id->id.event);
}

int soft_await(struct soft_id *id, enum rdma_cm_event_type wanted)
{
	if (!id->waits)
		return 0;
	if (fetch(id))
		return -1;
	if (id->id.event->event == wanted)
		return 0;
	errno = ECONNREFUSED;
	return -1;
}

int rdma_get_request(struct rdma_cm_id *listener, struct rdma_cm_id **made)
{
	struct soft_id *id = (struct soft_id *)listener;
	struct rdma_event_channel *channel;

	if (!id->waits) {
		errno = EINVAL;
		return -1;
	}
	if (soft_await(id, RDMA_CM_EVENT_CONNECT_REQUEST))
		return -1;
	channel = rdma_create_event_channel();
	if (!channel)
		return -1;
	*made = id->id.event->id;
	id = (struct soft_id *)*made;
	soft_id_move(id, (struct soft_events *)channel);
	id->waits = true;
	return 0;
}
