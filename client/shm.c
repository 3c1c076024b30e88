#include "client/shm.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "client/internal.h"
#include "common/hash.h"
#include "common/lease.h"

#define RETRY_NS UINT64_C(1000000000)

/* Refusals in a row make the next attempt later, up to RETRY_NS << this. */
#define RETRY_DOUBLINGS 5

/* What the elements of the answer are, from the first one on. */
enum element {
	LAYOUT,
	INCARNATION,
	ARENA_SIZE,
	SESSION,
	LEASE_OFFSET,
	LEASE_MS,
	NODE_MS_OFFSET,
	TAG,
};

/* ---- detaching ---- */

static void unmap(struct zs_shm *shm)
{
	if (shm->base)
		munmap(shm->base, shm->size);
	shm->base = NULL;
	shm->attached = false;
}

static void retry_later(struct zs_node *node)
{
	struct zs_shm *shm = &node->shm;
	uint64_t delay = RETRY_NS << (shm->failures < RETRY_DOUBLINGS ? shm->failures : RETRY_DOUBLINGS);

	shm->retry_ns = zs_now() + delay + zs_random_number(node->client, delay / 4);
}

/* The session is over, or could not be had; the channel is closed already. */
static void lose(struct zs_node *node, const char *why)
{
	struct zs_shm *shm = &node->shm;

	if (shm->attached) {
		node->client->counters.detaches++;
		shm->failures = 0;
		zs_note(node->client, node, node->socket.name,
			"shared memory is lost: %s; reads go over the socket until it is back", why);
	} else {
		if (!shm->failures)
			zs_note(node->client, node, node->socket.name, "no shared memory: %s; reads go over the socket",
				why);
		shm->failures++;
	}
	snprintf(shm->why, sizeof(shm->why), "%s", why);
	shm->settled = true;
	unmap(shm);
	retry_later(node);
}

static void on_broken(struct zs_channel *channel, int status, const char *why)
{
	(void)status;
	lose(channel->owner, why);
}

/* ---- attaching ---- */

static void on_ready(struct zs_channel *channel)
{
	struct zs_node *node = channel->owner;
	char command[ZS_ATTACH_COMMAND_MAX];

	node->shm.answer.next = 0;
	if (zs_buffer_append(&channel->out, command, zs_attach_command(command, sizeof(command))) == ZSLAB_OK)
		zs_channel_flush(channel);
}

/*
 * Maps the descriptor. The node must have sealed it against shrinking: else a load behind its end would kill us. NULL,
 * or a sentence about what is wrong.
 */
static const char *map(struct zs_shm *shm, int fd)
{
	uint64_t size = shm->answer.elements[ARENA_SIZE];
	struct stat stat;
	int seals;
	void *base;

	if (fd < 0)
		return "the node sent no descriptor of its memory (is there a proxy in between?)";
	seals = fcntl(fd, F_GET_SEALS);
	if (seals < 0 || !(seals & F_SEAL_SHRINK))
		return "the descriptor that the node sent is no memory sealed against shrinking";
	if (fstat(fd, &stat) || size > (uint64_t)stat.st_size)
		return "the memory that the node sent is smaller than it says";
	base = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
	if (base == MAP_FAILED)
		return "the node's memory cannot be mapped (is there a limit on address space, ulimit -v?)";
	shm->base = base;
	shm->size = size;
	return NULL;
}

/* Begins to read. ZSLAB_OK, or ZSLAB_EPROTO with a sentence. */
static int attach(struct zs_node *node, int fd, char *why, size_t why_size)
{
	struct zs_shm *shm = &node->shm;
	const uint64_t *e = shm->answer.elements;
	struct zs_plain_options options;
	const char *wrong = NULL;

	if (e[LAYOUT] != ZS_LAYOUT_VERSION)
		wrong = "the node's memory has another layout than this library reads; both must be of one release";
	else if (e[ARENA_SIZE] < ZS_FRAME_SIZE || e[ARENA_SIZE] > INT64_MAX || e[LEASE_OFFSET] % 8 ||
		 e[LEASE_OFFSET] > e[ARENA_SIZE] - 8 || e[TAG] < 1 || e[TAG] > UINT16_MAX)
		wrong = "the node's answer to ZS.ATTACH makes no sense";
	else
		wrong = map(shm, fd);
	if (wrong) {
		snprintf(why, why_size, "%s", wrong);
		return ZSLAB_EPROTO;
	}
	options = (struct zs_plain_options){
		.base = shm->base,
		.size = shm->size,
		.lease = (const uint64_t *)(const void *)((const uint8_t *)shm->base + e[LEASE_OFFSET]),
		.lease_tag = (uint16_t)e[TAG],
		.node_ms_offset = (int64_t)e[NODE_MS_OFFSET],
	};
	if (zs_plain_open(&shm->plain, &options, why, why_size))
		return ZSLAB_EPROTO;
	if (zs_plain_incarnation(&shm->plain) != e[INCARNATION]) {
		snprintf(why, why_size, "the memory is of another incarnation of the node than the answer");
		return ZSLAB_EPROTO;
	}
	shm->attached = true;
	shm->settled = true;
	shm->failures = 0;
	shm->why[0] = 0;
	node->client->counters.attaches++;
	zs_note(node->client, node, node->socket.name, "shared memory is attached, %" PRIu64 " bytes", shm->size);
	return ZSLAB_OK;
}

static int on_token(struct zs_channel *channel, const struct zs_token *token, char *why, size_t why_size)
{
	static const unsigned hex = 1u << INCARNATION | 1u << LEASE_OFFSET;
	struct zs_node *node = channel->owner;
	struct zs_shm *shm = &node->shm;
	int status = zs_attach_token(&shm->answer, token, hex, why, why_size);

	if (status || !zs_attach_is_whole(&shm->answer))
		return status;
	status = attach(node, shm->wire.passed_fd, why, why_size);
	if (status)
		unmap(shm);
	zs_socket_drop_descriptor(&shm->wire);
	return status;
}

/* ---- life ---- */

void zs_shm_init(struct zs_node *node)
{
	static const struct zs_channel_events events = { on_ready, on_token, on_broken };

	node->shm.channel = (struct zs_channel){
		.events = &events,
		.greeting = &node->client->greeting,
		.owner = node,
	};
	zs_socket_init(&node->shm.wire, &node->shm.channel, node->client->epoll, true);
}

void zs_shm_free(struct zs_node *node)
{
	zs_channel_free(&node->shm.channel);
	unmap(&node->shm);
}

uint64_t zs_shm_next(const struct zs_node *node)
{
	const struct zs_shm *shm = &node->shm;

	if (shm->channel.state == ZS_CHANNEL_CONNECTING || shm->channel.state == ZS_CHANNEL_GREETING)
		return shm->channel.deadline_ns;
	if (shm->wanted && shm->channel.state == ZS_CHANNEL_CLOSED && zs_lane_is_ready(&node->socket))
		return shm->retry_ns;
	return UINT64_MAX;
}

void zs_shm_tick(struct zs_node *node, uint64_t now_ns)
{
	struct zs_shm *shm = &node->shm;

	if (now_ns < zs_shm_next(node))
		return;
	if (shm->channel.state == ZS_CHANNEL_CLOSED)
		zs_channel_open(&shm->channel, &node->address.endpoints[0], now_ns + node->client->connect_timeout_ns);
	else
		zs_channel_expire(&shm->channel, now_ns);
}

/* ---- reading ---- */

/* The reader could not tell: because the lease is over? */
static void doubt(struct zs_node *node)
{
	struct zs_shm *shm = &node->shm;

	node->client->counters.shm_doubts++;
	if (zs_lease_holds(zs_load_acquire(shm->plain.lease), shm->plain.lease_tag, zs_now()))
		return;
	zs_channel_close(&shm->channel);
	lose(node, "the node does not renew our lease (is it stopped?)");
}

/* Puts the value where it belongs. ZSLAB_OK or ZSLAB_ESMALL. */
static inline int deliver(const struct zs_read_value *value, void *buffer, size_t buffer_size, size_t *size)
{
	char digits[24];

	if (__builtin_expect(!value->is_number, 1)) {
		*size = value->size;
		return value->size <= buffer_size ? ZSLAB_OK : ZSLAB_ESMALL;
	}
	return zs_copy_value(buffer, buffer_size, digits,
			     (size_t)snprintf(digits, sizeof(digits), "%" PRId64, value->number), size);
}

static inline void count_hit(struct zs_node *node, const void *key, size_t key_size)
{
	node->client->counters.shm_hits++;
	if (__builtin_expect(!node->feedback.skip--, 0))
		zs_feedback_sample(node, zs_hash(key, key_size, node->shm.plain.seed));
}

bool zs_shm_get(struct zs_node *node, const void *key, size_t key_size, void *buffer, size_t buffer_size, size_t *size,
		int *status)
{
	struct zs_plain_read read = {
		.key = key,
		.key_size = key_size,
		.buffer = buffer,
		.buffer_size = buffer_size,
	};

	switch (zs_plain_get(&node->shm.plain, &read)) {
	case ZS_ANSWER_HIT:
		*status = deliver(&read.value, buffer, buffer_size, size);
		count_hit(node, key, key_size);
		return true;
	case ZS_ANSWER_MISS:
		node->client->counters.shm_misses++;
		return false;
	default:
		doubt(node);
		return false;
	}
}

/* Items that are looked up together. */
#define BATCH 64

/* Looks up to BATCH items up; those not found are linked behind *link. Returns where the last of them links on. */
static uint32_t *get_batch(struct zs_node *node, struct zslab_item *items, const uint32_t *numbers, size_t count,
			   uint32_t *link, uint32_t *left)
{
	struct zs_plain_read reads[BATCH];
	bool doubts = false;

	for (size_t i = 0; i < count; i++) {
		const struct zslab_item *item = &items[numbers[i]];

		reads[i].key = item->key;
		reads[i].key_size = item->key_size;
		reads[i].buffer = item->buffer;
		reads[i].buffer_size = item->buffer_size;
	}
	zs_plain_get_batch(&node->shm.plain, reads, count);
	for (size_t i = 0; i < count; i++) {
		struct zslab_item *item = &items[numbers[i]];

		if (reads[i].answer == ZS_ANSWER_HIT) {
			item->status = deliver(&reads[i].value, item->buffer, item->buffer_size, &item->size);
			count_hit(node, item->key, item->key_size);
			continue;
		}
		doubts |= reads[i].answer == ZS_ANSWER_ASK;
		node->client->counters.shm_misses += reads[i].answer == ZS_ANSWER_MISS;
		*link = numbers[i];
		link = &item->next;
		(*left)++;
	}
	if (doubts)
		doubt(node);
	return link;
}

void zs_shm_mget(struct zs_node *node, struct zslab_item *items, uint32_t *item, uint32_t *count)
{
	uint32_t numbers[BATCH];
	uint32_t at = *item;
	uint32_t todo = *count;
	uint32_t left = 0;
	uint32_t *link = item;

	while (todo && node->shm.attached) {
		size_t n = 0;

		for (; n < BATCH && todo; n++, todo--) {
			numbers[n] = at;
			at = items[at].next;
		}
		link = get_batch(node, items, numbers, n, link, &left);
	}
	if (todo)
		*link = at; /* detached on the way: the rest is asked for as it is */
	*count = left + todo;
}
