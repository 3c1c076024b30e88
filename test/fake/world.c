#include "test/fake/world.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define START_MS 1767258123457u

enum { GROUPS = 2 };

static void give_up(const struct world *world, const char *what, int error)
{
	fprintf(stderr, "FAILED: the world cannot go on: %s: %s (life %" PRIu64 ", %" PRIu64 " writes)\n", what,
		zs_error_name(error), world->lives, world->writes);
	exit(1);
}

/* ---- time and chance ---- */

static uint64_t now_ms(void *context)
{
	return world_ms(context);
}

/* Looking at the clock takes time, or background work with a budget would never come to its end. */
static uint64_t now_ns(void *context)
{
	return ((struct world *)context)->ns += 100;
}

static struct zs_clock world_clock;

uint64_t world_ms(const struct world *world)
{
	return START_MS + world->ns / 1000000;
}

uint64_t world_random(struct world *world)
{
	uint64_t x = world->random;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	world->random = x;
	return x * 0x2545f4914f6cdd1du;
}

uint32_t world_below(struct world *world, uint32_t bound)
{
	return (uint32_t)((world_random(world) >> 32) * bound >> 32);
}

/* ---- keys and values ---- */

static bool is_counter(unsigned key)
{
	return key % 8 == 7;
}

static int group_of(unsigned key)
{
	return key % 16 == 1 ? (int)(key / 16 % GROUPS) : -1;
}

static uint64_t step_of(unsigned key)
{
	return key * 2 + 1000003;
}

size_t world_name(unsigned key, char *name)
{
	if (key % 5 == 0)
		return (size_t)snprintf(name, WORLD_KEY_MAX, "k%u", key);
	return (size_t)snprintf(name, WORLD_KEY_MAX, key % 11 ? "key:%012u" : "a longer name for the key %012u", key);
}

struct header {
	uint64_t version;
	uint32_t key;
	uint32_t size;
	uint64_t checksum;
};

static uint64_t checksum(const struct header *h)
{
	return (h->version * 0x9e3779b97f4a7c15u) ^ (h->key * UINT64_C(0xc2b2ae3d27d4eb4f)) ^ h->size;
}

/*
 * The bytes after the header: in turn words that tell the version, and the key's name. So a value that is taken for
 * something else, a slab of another shape, has keys in it.
 */
static void fill(uint8_t *bytes, size_t size, unsigned key, uint64_t version)
{
	char name[WORLD_KEY_MAX];
	size_t name_size = world_name(key, name);

	for (size_t i = sizeof(struct header); i < size; i++) {
		size_t at = (i - sizeof(struct header)) % (8 + name_size);

		bytes[i] = at < 8 ? (uint8_t)(version >> (8 * at) ^ (at * 37)) : (uint8_t)name[at - 8];
	}
}

static size_t make_value(struct world *world, unsigned key, uint64_t version, uint8_t *bytes)
{
	struct header h = { .version = version, .key = key };

	if (key % 3 == 2)
		h.size = (uint32_t)sizeof(h) + world_below(world, world_below(world, 60) ? 200 : WORLD_VALUE_MAX - 24);
	else
		h.size = key % 3 ? 96 : 48;
	h.checksum = checksum(&h);
	memcpy(bytes, &h, sizeof(h));
	fill(bytes, h.size, key, version);
	return h.size;
}

/* ---- the record ---- */

static void record(struct world *world, unsigned key, uint64_t version, uint64_t deadline)
{
	struct world_key *k = &world->keys[key];

	k->events[k->count++ % WORLD_EVENTS] = (struct world_event){ version, deadline };
	if (version)
		k->version = version;
}

static const struct world_event *last_event(const struct world *world, unsigned key)
{
	const struct world_key *k = &world->keys[key];

	return &k->events[(k->count - 1) % WORLD_EVENTS];
}

/* The version that the bytes say they are of; 0 and *what if they are not whole, or of another key. */
static uint64_t version_of(unsigned key, const struct zs_read_value *value, const uint8_t *data, const char **what)
{
	static uint8_t expected[ZS_FRAME_SIZE];
	struct header h;

	*what = NULL;
	if (value->is_number != is_counter(key)) {
		*what = "it has the wrong type";
		return 0;
	}
	if (value->is_number)
		return (uint64_t)value->number;
	if (value->size < sizeof(h) || value->size > WORLD_VALUE_MAX) {
		*what = "it has a size that nobody wrote";
		return 0;
	}
	memcpy(&h, data, sizeof(h));
	if (h.checksum != checksum(&h) || h.size != value->size)
		*what = "its header is torn";
	else if (h.key != key)
		*what = "it is the value of another key";
	if (*what)
		return 0;
	fill(expected, h.size, key, h.version);
	if (memcmp(data + sizeof(h), expected + sizeof(h), h.size - sizeof(h)) != 0)
		*what = "its bytes are of several versions";
	return h.version;
}

const char *world_check(const struct world *world, unsigned key, uint64_t since, const struct zs_read_value *value,
			const uint8_t *data)
{
	const struct world_key *k = &world->keys[key];
	uint64_t first = since ? since - 1 : 0;
	const char *what;
	uint64_t version = version_of(key, value, data, &what);
	bool known = false;

	if (what)
		return what;
	if (k->count - first > WORLD_EVENTS)
		return NULL; /* too much has happened to the key to tell more */
	for (uint64_t i = first; i < k->count; i++) {
		const struct world_event *e = &k->events[i % WORLD_EVENTS];

		if (e->version != version || !version)
			continue;
		if (!e->deadline || e->deadline > world_ms(world))
			return NULL;
		known = true;
	}
	if (known)
		return "it has expired";
	return version > k->version ? "it is of a version that nobody wrote" : "it is stale";
}

/* ---- operations ---- */

static void set_clock(struct world *world)
{
	zs_thread_quiesce(world->thread);
}

static void wait_a_little(struct world *world)
{
	world->ns += 500000;
	zs_thread_upkeep(world->thread, 100);
}

static void write_value(struct world *world, unsigned key)
{
	static uint8_t bytes[WORLD_VALUE_MAX];
	char name[WORLD_KEY_MAX];
	char group[16];
	uint64_t version = ++world->writes;
	struct zs_set set = { .key = name, .key_size = world_name(key, name), .value = bytes };
	int error;

	set.value_size = make_value(world, key, version, bytes);
	if (world_below(world, 4) == 0)
		set.deadline = world_ms(world) + (world_below(world, 2) ? 1 + world_below(world, 900) : 50000);
	if (group_of(key) >= 0) {
		set.flags = ZS_SET_GROUP;
		set.group = group;
		set.group_size = (size_t)snprintf(group, sizeof(group), "group %d", group_of(key));
	}
	for (unsigned tries = 0; (error = zs_set(world->thread, &set, NULL)) == ZS_EAGAIN && tries < 1000; tries++)
		wait_a_little(world);
	if (error)
		give_up(world, "set", error);
	record(world, key, version, set.deadline);
}

static void increment(struct world *world, unsigned key)
{
	char name[WORLD_KEY_MAX];
	size_t size = world_name(key, name);
	const struct world_event *last = last_event(world, key);
	bool expired = last->deadline && last->deadline <= world_ms(world);
	int64_t result = 0;
	int error;

	/* Numbers never come again: after a deletion it goes on from where it was. */
	for (unsigned tries = 0; tries < 1000; tries++) {
		error = zs_increment(world->thread, name, size, (int64_t)step_of(key), &result);
		if (error != ZS_EAGAIN)
			break;
		wait_a_little(world);
	}
	if (error)
		give_up(world, "increment", error);
	if ((uint64_t)result <= world->keys[key].version) {
		/* It had gone, by eviction perhaps, and began at 0 again. */
		int64_t missing = (int64_t)world->keys[key].version;

		expired = true;
		record(world, key, (uint64_t)result, 0);
		for (unsigned tries = 0; tries < 1000; tries++) {
			error = zs_increment(world->thread, name, size, missing, &result);
			if (error != ZS_EAGAIN)
				break;
			wait_a_little(world);
		}
		if (error)
			give_up(world, "increment", error);
	}
	record(world, key, (uint64_t)result, expired || !last->version ? 0 : last->deadline);
}

static void delete_key(struct world *world, unsigned key)
{
	char name[WORLD_KEY_MAX];
	int error = zs_delete(world->thread, name, world_name(key, name), NULL);

	if (error && error != ZS_ENOTFOUND)
		give_up(world, "delete", error);
	record(world, key, 0, 0);
}

static void expire(struct world *world, unsigned key)
{
	char name[WORLD_KEY_MAX];
	size_t size = world_name(key, name);
	uint64_t deadline = world_below(world, 4) ? world_ms(world) + 1 + world_below(world, 8000) : 0;
	int error;

	for (unsigned tries = 0; tries < 1000; tries++) {
		error = zs_expire(world->thread, name, size, deadline, 0, NULL);
		if (error != ZS_EAGAIN)
			break;
		wait_a_little(world);
	}
	if (error == ZS_OK)
		record(world, key, last_event(world, key)->version, deadline);
	else if (error != ZS_ENOTFOUND)
		give_up(world, "expire", error);
}

static void drop_group(struct world *world)
{
	int group = (int)world_below(world, GROUPS);
	char name[16];

	zs_drop(world->thread, name, (size_t)snprintf(name, sizeof(name), "group %d", group), NULL);
	for (unsigned key = 0; key < WORLD_KEYS; key++) {
		if (group_of(key) == group && last_event(world, key)->version)
			record(world, key, 0, 0);
	}
}

static void end_all(struct world *world)
{
	for (unsigned key = 0; key < WORLD_KEYS; key++) {
		if (!world->keys[key].count || last_event(world, key)->version)
			record(world, key, 0, 0);
	}
}

unsigned world_pick(struct world *world)
{
	return world_below(world, 2) ? world_below(world, WORLD_HOT) : world_below(world, WORLD_KEYS);
}

static void mutate_once(struct world *world, unsigned favourite)
{
	unsigned key = favourite < WORLD_KEYS && world_below(world, 3) == 0 ? favourite : world_pick(world);
	unsigned what = world_below(world, 1000);

	world->ns += world_below(world, 12000);
	if (what < 1 && world_below(world, 4) == 0)
		drop_group(world);
	else if (what < 50)
		delete_key(world, key);
	else if (what < 150)
		expire(world, key);
	else if (what < 200)
		zs_thread_upkeep(world->thread, 20);
	else if (is_counter(key))
		increment(world, key);
	else
		write_value(world, key);
	set_clock(world);
}

void world_mutate(struct world *world, unsigned operations, unsigned favourite)
{
	for (unsigned i = 0; i < operations; i++)
		mutate_once(world, favourite);
}

/* ---- lives ---- */

bool world_is_tight(const struct world *world)
{
	return world->lives % 3 == 2;
}

static void open_engine(struct world *world)
{
	struct zs_engine_options options;
	char why[256] = "";

	world_clock = (struct zs_clock){ now_ms, now_ns, world };
	zs_engine_options_init(&options);
	options.memory = world_is_tight(world) ? ZS_MEMORY_MIN : 2 * ZS_MEMORY_MIN;
	options.clock = &world_clock;
	options.quarantine_ms = WORLD_QUARANTINE_MS;
	options.huge_pages = false;
	options.seed = world_random(world) | 1;
	if (zs_engine_open(&options, &world->engine, why, sizeof(why))) {
		fprintf(stderr, "FAILED: cannot open an engine: %s\n", why);
		exit(1);
	}
	world->thread = zs_thread_attach(world->engine);
	if (!world->thread)
		give_up(world, "attach", ZS_ENOMEM);
	zs_store_release(&world->engine->remote_until_ms, UINT64_MAX);
	world->lives++;
	for (unsigned i = 0; i < WORLD_KEYS / 3; i++)
		mutate_once(world, WORLD_KEYS);
}

void world_open(struct world *world, uint64_t seed)
{
	memset(world, 0, sizeof(*world));
	world->random = seed * 0x9e3779b97f4a7c15u | 1;
	world->ns = 1000000000;
	world->keys = calloc(WORLD_KEYS, sizeof(*world->keys));
	if (!world->keys)
		give_up(world, "open", ZS_ENOMEM);
	end_all(world);
	open_engine(world);
}

void world_close(struct world *world)
{
	zs_thread_detach(world->thread);
	zs_engine_close(world->engine);
	free(world->keys);
}

void world_take_over(struct world *world)
{
	end_all(world);
}

void world_restart(struct world *world)
{
	zs_thread_detach(world->thread);
	zs_engine_close(world->engine);
	end_all(world);
	open_engine(world);
}
