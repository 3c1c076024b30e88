/*
 * Processes that read a node's memory while others write, objects expire and are evicted, the index grows, and the node
 * is killed and started again. Each value carries its key and a version. A read has to give a version not below the
 * last one acknowledged (or deleted) before it began, not above the last one submitted when it ended, and nothing that
 * ended by its time to live before it began.
 *
 *   client_race [--via shm|rdma] [--reads N] [--seconds S] [--restarts N] [--workers N]
 *
 * Ends by reads or time, whichever is over first. With rdma, one of the writers writes by RDMA too.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "test/client/support.h"

enum {
	KEYS = 40000,
	READERS = 2,
	WRITERS = 2,
	BATCH = 32,
	DEPTH = 32,
	VALUE_MAX = 700,
};

/* What a value begins with; the rest is filled by the version. */
struct head {
	uint32_t key;
	uint32_t ttl_ms; /* 0: none */
	uint64_t version;
};

struct line {
	_Atomic uint64_t submitted;
	_Atomic uint64_t acknowledged;
	_Atomic uint64_t expires_ms; /* of the acknowledged version; 0: never */
};

static struct line lines[KEYS];
static struct test_node node;
static atomic_bool stop;
static _Atomic uint64_t reads;
static _Atomic uint64_t found;
static _Atomic uint64_t hits;
static _Atomic uint64_t attaches;
static _Atomic uint64_t unknown;
static uint64_t most_reads = UINT64_MAX;
static bool over_rdma;

static uint64_t boot_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* cmocka's failures belong to the main thread. */
__attribute__((format(printf, 1, 2), noreturn)) static void give_up(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	node_kill(&node);
	abort();
}

static uint64_t draw(uint64_t *random, uint64_t bound)
{
	*random ^= *random << 13;
	*random ^= *random >> 7;
	*random ^= *random << 17;
	return *random % bound;
}

static struct zslab *open_race(const char *address, enum zslab_via via)
{
	struct zslab_options options = { .via = via, .timeout_ms = 30000 };
	struct zslab *handle;
	char why[ZSLAB_ERROR_MAX];

	if (zslab_open(&handle, &address, 1, &options, why, sizeof(why)))
		give_up("cannot open: %s", why);
	return handle;
}

/* ---- writers ---- */

struct slot {
	struct zslab_op op;
	uint32_t key;
	uint64_t version;
	uint32_t ttl_ms;
	char name[16];
	uint8_t value[VALUE_MAX];
};

static void fill_value(struct slot *slot, size_t size)
{
	struct head head = { slot->key, slot->ttl_ms, slot->version };

	memset(slot->value, (int)(slot->version * 31 + slot->key), size);
	memcpy(slot->value, &head, sizeof(head));
}

static void submit(struct zslab *handle, struct slot *slot, uint64_t *random)
{
	size_t size = sizeof(struct head) + draw(random, 3) * draw(random, 220);
	bool deletes = draw(random, 16) == 0;

	slot->version = atomic_fetch_add(&lines[slot->key].submitted, 1) + 1;
	slot->ttl_ms = draw(random, 4) ? 0 : 1 + (uint32_t)draw(random, 300);
	fill_value(slot, size);
	slot->op = (struct zslab_op){
		.kind = deletes ? ZSLAB_DELETE : ZSLAB_SET,
		.key = slot->name,
		.key_size = (size_t)snprintf(slot->name, sizeof(slot->name), "race:%u", slot->key),
		.value = slot->value,
		.value_size = size,
		.expiry = slot->ttl_ms ? ZSLAB_PX : ZSLAB_NO_EXPIRY,
		.time = slot->ttl_ms,
		.user = slot,
	};
	if (deletes)
		slot->ttl_ms = 1; /* gone at once: no version up to this one may be seen */
	if (zslab_submit(handle, &slot->op) < 0)
		give_up("a write is refused: %s", zslab_error(handle));
}

static void acknowledge(const struct slot *slot)
{
	struct line *line = &lines[slot->key];
	bool deleted = slot->op.kind == ZSLAB_DELETE;

	if (slot->op.status == ZSLAB_EUNKNOWN) {
		atomic_fetch_add(&unknown, 1);
		return;
	}
	if (slot->op.status && slot->op.status != ZSLAB_ENOTFOUND)
		give_up("a write fails: %s", slot->op.error);
	atomic_store(&line->expires_ms, slot->ttl_ms && !deleted ? boot_ms() + slot->ttl_ms : 0);
	atomic_store(&line->acknowledged, slot->version + deleted);
}

/* Each key has one writer, and one write in flight. */
static void *write_all(void *context)
{
	unsigned number = (unsigned)(uintptr_t)context;
	struct zslab *handle = open_race(node.tcp_address, over_rdma && number ? ZSLAB_VIA_RDMA : ZSLAB_VIA_TCP);
	struct slot *slots = calloc(DEPTH, sizeof(*slots));
	struct zslab_op *done[DEPTH];
	uint64_t random = number + 1;
	int count = DEPTH;

	for (unsigned i = 0; i < DEPTH; i++)
		done[i] = &slots[i].op;
	for (unsigned i = 0; i < DEPTH; i++)
		slots[i].op.user = &slots[i];
	for (uint64_t at = 0; !atomic_load(&stop);) {
		for (int i = 0; i < count; i++) {
			struct slot *slot = done[i]->user;
			unsigned lane = (unsigned)(slot - slots) + number * DEPTH;

			/* The keys of a slot are its own: those equal to its lane modulo all lanes. */
			slot->key = (uint32_t)(lane + draw(&random, KEYS / (DEPTH * WRITERS)) * DEPTH * WRITERS);
			submit(handle, slot, &random);
			at++;
		}
		count = zslab_poll(handle, done, DEPTH, 100);
		for (int i = 0; i < count; i++)
			acknowledge(done[i]->user);
	}
	zslab_close(handle);
	free(slots);
	return NULL;
}

/* ---- readers ---- */

struct bounds {
	uint32_t key;
	uint64_t lowest;
	uint64_t expires_ms; /* of version `lowest` */
	uint64_t began_ms;
};

static void note_bounds(struct bounds *bounds, uint32_t key)
{
	const struct line *line = &lines[key];

	bounds->key = key;
	do {
		bounds->lowest = atomic_load(&line->acknowledged);
		bounds->expires_ms = atomic_load(&line->expires_ms);
	} while (atomic_load(&line->acknowledged) != bounds->lowest);
	bounds->began_ms = boot_ms();
}

static void check_value(const struct bounds *bounds, const uint8_t *value, size_t size)
{
	uint64_t highest = atomic_load(&lines[bounds->key].submitted);
	struct head head;

	if (size < sizeof(head) || size > VALUE_MAX)
		give_up("key %u: a value of %zu bytes", bounds->key, size);
	memcpy(&head, value, sizeof(head));
	if (head.key != bounds->key)
		give_up("key %u: the value of key %u", bounds->key, head.key);
	if (head.version < bounds->lowest || head.version > highest)
		give_up("key %u: version %" PRIu64 ", possible are %" PRIu64 " to %" PRIu64, bounds->key, head.version,
			bounds->lowest, highest);
	if (head.version == bounds->lowest && bounds->expires_ms && bounds->began_ms > bounds->expires_ms)
		give_up("key %u: read %" PRIu64 " ms after its end", bounds->key,
			bounds->began_ms - bounds->expires_ms);
	for (size_t i = sizeof(head); i < size; i++) {
		if (value[i] != (uint8_t)(head.version * 31 + head.key))
			give_up("key %u: byte %zu of version %" PRIu64 " is torn", bounds->key, i, head.version);
	}
	atomic_fetch_add_explicit(&found, 1, memory_order_relaxed);
}

static void read_batch(struct zslab *handle, uint64_t *random, unsigned count)
{
	static _Thread_local struct zslab_item items[BATCH];
	static _Thread_local char names[BATCH][16];
	static _Thread_local uint8_t values[BATCH][VALUE_MAX];
	struct bounds bounds[BATCH];

	for (unsigned i = 0; i < count; i++) {
		note_bounds(&bounds[i], (uint32_t)draw(random, KEYS));
		items[i] = (struct zslab_item){ .key = names[i], .buffer = values[i], .buffer_size = VALUE_MAX };
		items[i].key_size = (size_t)snprintf(names[i], sizeof(names[i]), "race:%u", bounds[i].key);
	}
	if (count == 1)
		items[0].status =
		    zslab_get_into(handle, items[0].key, items[0].key_size, values[0], VALUE_MAX, &items[0].size);
	else
		(void)zslab_mget(handle, items, count);
	for (unsigned i = 0; i < count; i++) {
		if (items[i].status == ZSLAB_OK)
			check_value(&bounds[i], values[i], items[i].size);
		else if (items[i].status != ZSLAB_ENOTFOUND)
			give_up("a read fails: %s", zslab_error(handle));
	}
}

static void *read_all(void *context)
{
	uint64_t random = 1000 + (uintptr_t)context;
	struct zslab *handle =
	    over_rdma ? open_race(node.tcp_address, ZSLAB_VIA_RDMA) : open_race(node.unix_address, ZSLAB_VIA_SHM);
	struct zslab_counters counters;

	while (!atomic_load(&stop)) {
		unsigned count = draw(&random, 2) ? 1 : BATCH;

		read_batch(handle, &random, count);
		if (atomic_fetch_add(&reads, count) >= most_reads)
			atomic_store(&stop, true);
	}
	(void)zslab_counters(handle, &counters);
	atomic_fetch_add(&hits, counters.shm_hits + counters.rdma_hits);
	atomic_fetch_add(&attaches, counters.attaches + counters.rdma_attaches);
	zslab_close(handle);
	return NULL;
}

/* ---- the course ---- */

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "via", 1, NULL, 'v' },      { "reads", 1, NULL, 'r' },   { "seconds", 1, NULL, 's' },
		{ "restarts", 1, NULL, 'n' }, { "workers", 1, NULL, 'w' }, { 0 },
	};
	const char *small[] = { "--memory", "16mb", "--lease", "500", "--workers", "1", NULL };
	pthread_t threads[READERS + WRITERS];
	uint64_t seconds = 5;
	uint64_t restarts = 1;
	uint64_t began;

	for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		switch (option) {
		case 'v':
			over_rdma = !strcmp(optarg, "rdma");
			break;
		case 'r':
			most_reads = strtoull(optarg, NULL, 10);
			break;
		case 's':
			seconds = strtoull(optarg, NULL, 10);
			break;
		case 'n':
			restarts = strtoull(optarg, NULL, 10);
			break;
		case 'w':
			small[5] = optarg;
			break;
		default:
			return 2;
		}
	}
	node_start(&node, small);
	began = now_ms();
	for (uintptr_t i = 0; i < READERS + WRITERS; i++)
		pthread_create(&threads[i], NULL, i < READERS ? read_all : write_all,
			       (void *)(i < READERS ? i : i - READERS));
	for (uint64_t done = 0; !atomic_load(&stop);) {
		uint64_t elapsed = now_ms() - began;

		sleep_ms(20);
		if (elapsed >= seconds * 1000)
			atomic_store(&stop, true);
		else if (done < restarts && elapsed >= (done + 1) * seconds * 1000 / (restarts + 1)) {
			node_kill(&node);
			node_restart(&node);
			done++;
		}
	}
	for (unsigned i = 0; i < READERS + WRITERS; i++)
		pthread_join(threads[i], NULL);
	printf("%" PRIu64 " reads, %" PRIu64 " from memory, %" PRIu64 " values checked, %" PRIu64 " sessions, %" PRIu64
	       " unknown writes: in order\n",
	       reads, hits, found, attaches, unknown);
	node_stop(&node);
	return hits && found ? 0 : 1;
}
