#include "client/rdma.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "client/internal.h"

/* Locations of keys that are remembered of one node: some 40,000. */
#define LOCATION_MEMORY ((size_t)1 << 20)

/* How long the first answer may take, when no lease is known yet. */
#define PATIENCE_NS UINT64_C(1000000000)

/* Leases beyond this are a day: they make no sense, and no overflow. */
#define LEASE_MS_MAX 86400000u

/* Between attempts, doubling. A node that gave a session once is likely to give one again. */
#define RETRY_NS UINT64_C(250000000)
#define RETRY_DOUBLINGS_AFTER_ONE 4
#define RETRY_DOUBLINGS 7

/* What the elements of the answer to ZS.ATTACH are, from the first one on. */
enum element {
	LAYOUT,
	INCARNATION,
	ARENA_SIZE,
	ARENA_ADDRESS,
	RKEY,
	LEASE_MS,
	NODE_MS,
	QUARANTINE_MS,
};

/* ---- the end ---- */

static void retry_later(struct zs_node *node)
{
	struct zs_session *s = &node->rdma;
	unsigned most = s->was_attached ? RETRY_DOUBLINGS_AFTER_ONE : RETRY_DOUBLINGS;
	uint64_t delay = RETRY_NS << (s->failures < most ? s->failures : most);

	s->failures++;
	s->retry_ns = zs_now() + delay / 2 + zs_random_number(node->client, delay);
}

static void on_broken(struct zs_channel *channel, int status, const char *why)
{
	struct zs_lane *lane = channel->owner;
	struct zs_node *node = lane->node;
	struct zs_session *s = &node->rdma;

	if (s->attached) {
		node->client->counters.rdma_detaches++;
		s->failures = 0;
		zs_note(node->client, node, lane->name, "RDMA is lost: %s; all goes over the socket until it is back",
			why);
	} else if (!s->failures) {
		zs_note(node->client, node, lane->name, "no RDMA: %s; all goes over the socket", why);
	}
	snprintf(s->why, sizeof(s->why), "%s", why);
	s->attached = false;
	s->asking = false;
	s->settled = true;
	zs_lane_lose(lane, status, why);
	retry_later(node);
}

/* ---- attaching ---- */

/* ZSLAB_OK, or ZSLAB_EPROTO and what makes no sense. */
static int take_terms(struct zs_session *s, struct zs_rdma_session *terms, char *why, size_t why_size)
{
	const uint64_t *e = s->answer.elements;

	if (e[LAYOUT] != ZS_LAYOUT_VERSION) {
		snprintf(why, why_size,
			 "the node's memory has another layout than this library reads; both must be of "
			 "one release");
		return ZSLAB_EPROTO;
	}
	if (e[ARENA_SIZE] < ZS_FRAME_SIZE || e[ARENA_SIZE] > INT64_MAX || e[RKEY] > UINT32_MAX || e[LEASE_MS] < 1 ||
	    e[LEASE_MS] > LEASE_MS_MAX || e[NODE_MS] > INT64_MAX || e[QUARANTINE_MS] > LEASE_MS_MAX) {
		snprintf(why, why_size, "the node's answer to ZS.ATTACH makes no sense");
		return ZSLAB_EPROTO;
	}
	*terms = (struct zs_rdma_session){
		.target = { e[ARENA_ADDRESS], e[ARENA_SIZE], (uint32_t)e[RKEY] },
		.incarnation = e[INCARNATION],
		.sent_ns = s->asked_ns,
		.node_ms = e[NODE_MS],
		.lease_ms = e[LEASE_MS],
		.quarantine_ms = e[QUARANTINE_MS],
	};
	return ZSLAB_OK;
}

static void on_reader_ready(void *context)
{
	struct zs_node *node = context;
	struct zs_session *s = &node->rdma;

	s->attached = true;
	s->was_attached = true;
	s->settled = true;
	s->failures = 0;
	s->why[0] = 0;
	node->client->counters.rdma_attaches++;
	zs_note(node->client, node, s->lane.name, "attached over %s, %" PRIu64 " bytes of memory",
		zs_rdma_device_name(node->client->adapter.rdma), s->answer.elements[ARENA_SIZE]);
}

static void on_reader_unfit(void *context, const char *why)
{
	struct zs_node *node = context;

	zs_channel_break(&node->rdma.lane.channel, ZSLAB_EPROTO, why);
}

/* ZSLAB_OK, or `why` the memory cannot be read. */
static int begin_reading(struct zs_node *node, char *why, size_t why_size)
{
	struct zs_session *s = &node->rdma;
	struct zs_rdma_reader_events events = { on_reader_ready, on_reader_unfit, zs_readings_over, node };
	struct zs_rdma_session terms;
	int status = take_terms(s, &terms, why, why_size);

	if (status)
		return status;
	s->patience_ns = terms.lease_ms * UINT64_C(1000000);
	if (!s->reader)
		s->reader = zs_rdma_reader_new(node->client->adapter.rdma, LOCATION_MEMORY, &events);
	if (!s->reader || zs_readings_init(&s->readings)) {
		snprintf(why, why_size, "not enough memory");
		return ZSLAB_ENOMEM;
	}
	s->wire.reader = s->reader;
	return zs_rdma_reader_begin(s->reader, s->wire.connection, &terms, why, why_size) ? ZSLAB_ETRANSPORT : ZSLAB_OK;
}

static int take_attach(struct zs_node *node, struct zs_request *request, const struct zs_token *token, int *status,
		       char *why, size_t why_size)
{
	static const unsigned hex = 1u << INCARNATION | 1u << ARENA_ADDRESS;
	struct zs_session *s = &node->rdma;
	int error = zs_attach_token(&s->answer, token, hex, why, why_size);

	(void)request;
	(void)status;
	if (error || !zs_attach_is_whole(&s->answer))
		return error;
	s->asking = false;
	return begin_reading(node, why, why_size);
}

/* Sends a command whose answer is awaited. What cannot be sent is like what is not answered. */
static void ask(struct zs_session *s, const char *command, size_t size, zs_answer_function *answer)
{
	s->asking = true;
	s->asked_ns = zs_now();
	(void)zs_lane_send(&s->lane, command, size, answer);
}

static void on_ready(struct zs_channel *channel)
{
	struct zs_lane *lane = channel->owner;
	struct zs_session *s = &lane->node->rdma;
	char command[ZS_ATTACH_COMMAND_MAX];

	s->answer.next = 0;
	s->patience_ns = PATIENCE_NS;
	ask(s, command, zs_attach_command(command, sizeof(command)), take_attach);
	zs_node_pump(lane->node, true);
}

/* ---- the lease ---- */

static int take_lease(struct zs_node *node, struct zs_request *request, const struct zs_token *token, int *status,
		      char *why, size_t why_size)
{
	struct zs_session *s = &node->rdma;
	bool is_head = !request->started;

	(void)status;
	if (is_head && token->kind == ZS_TOKEN_ERROR) {
		zs_reply_show(token->text, token->size, why, why_size < 240 ? why_size : 240);
		return ZSLAB_ETRANSPORT;
	}
	if (is_head ? token->kind != ZS_TOKEN_ARRAY || token->number != 2
		    : token->kind != ZS_TOKEN_INTEGER || token->number < 0) {
		snprintf(why, why_size, "the node's answer to ZS.LEASE is not what it should be");
		return ZSLAB_EPROTO;
	}
	if (is_head) {
		s->lease_next = 0;
		return ZSLAB_OK;
	}
	s->lease[s->lease_next++] = (uint64_t)token->number;
	if (s->lease_next < 2)
		return ZSLAB_OK;
	if (s->lease[0] < 1 || s->lease[0] > LEASE_MS_MAX) {
		snprintf(why, why_size, "the node's lease makes no sense");
		return ZSLAB_EPROTO;
	}
	s->asking = false;
	s->patience_ns = s->lease[0] * UINT64_C(1000000);
	zs_remote_lease(zs_rdma_reader_remote(s->reader), s->asked_ns, s->patience_ns, s->lease[1]);
	return ZSLAB_OK;
}

static void renew(struct zs_session *s)
{
	static const char command[] = "*1\r\n$8\r\nZS.LEASE\r\n";

	ask(s, command, sizeof(command) - 1, take_lease);
}

/* ---- time ---- */

/* When the session, which is READY, has something to do. */
static uint64_t next_beat(const struct zs_session *s)
{
	return s->asking ? s->asked_ns + s->patience_ns : s->asked_ns + s->patience_ns / 5;
}

uint64_t zs_session_next(const struct zs_node *node)
{
	const struct zs_session *s = &node->rdma;

	switch (s->lane.channel.state) {
	case ZS_CHANNEL_CLOSED:
		return s->wanted && zs_lane_is_ready(&node->socket) ? s->retry_ns : UINT64_MAX;
	case ZS_CHANNEL_READY:
		return next_beat(s);
	default:
		return s->lane.channel.deadline_ns;
	}
}

static void beat(struct zs_node *node, uint64_t now_ns)
{
	struct zs_session *s = &node->rdma;

	/* If nobody has looked for a while, the answer may be there. */
	if (s->asking)
		zs_adapter_pump(&node->client->adapter);
	if (!zs_lane_is_ready(&s->lane) || now_ns < next_beat(s))
		return;
	if (s->asking)
		zs_channel_break(&s->lane.channel, ZSLAB_EUNREACHABLE,
				 "the node does not answer our heartbeats (is it stopped?)");
	else
		renew(s);
}

void zs_session_tick(struct zs_node *node, uint64_t now_ns)
{
	struct zs_session *s = &node->rdma;

	if (now_ns < zs_session_next(node))
		return;
	if (zs_lane_is_ready(&s->lane))
		beat(node, now_ns);
	else if (s->lane.channel.state == ZS_CHANNEL_CLOSED)
		zs_channel_open(&s->lane.channel, &node->address.endpoints[node->endpoint],
				now_ns + node->client->connect_timeout_ns);
	else
		zs_channel_expire(&s->lane.channel, now_ns);
}

bool zs_session_is_busy(const struct zs_node *node)
{
	return node->rdma.readings.under_way || node->rdma.lane.sent.first;
}

void zs_session_expire(struct zs_node *node, uint64_t now_ns)
{
	zs_readings_expire(node, now_ns);
}

/* ---- life ---- */

void zs_session_init(struct zs_node *node)
{
	static const struct zs_channel_events events = { on_ready, zs_lane_token, on_broken };
	struct zs_session *s = &node->rdma;

	zs_lane_init(&s->lane, node, "rdma", &events);
	zs_rdma_link_init(&s->wire, &s->lane.channel, node->client);
}

void zs_session_free(struct zs_node *node)
{
	struct zs_session *s = &node->rdma;

	zs_lane_free(&s->lane);
	zs_readings_free(&s->readings);
	zs_rdma_reader_free(s->reader);
}

void zs_session_forget(struct zs_node *node)
{
	node->rdma.wire.connection = NULL;
	node->rdma.wire.reader = NULL;
	node->rdma.reader = NULL;
	node->rdma.readings.under_way = 0;
}
