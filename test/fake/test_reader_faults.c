/*
 * Remote reads with every fault, over a real engine's memory: what is believed must be right.
 *
 *   reader_faults [--reads N] [--seconds N] [--seed S]
 *
 * Stops after N reads, or when the seconds are over. Values prove themselves and a record of all writes tells which
 * ones a read may show: none that is torn, of another key, older than the last write before the read began, or expired
 * when it ended. Nodes freeze and restart. Another reader is fed garbage: it may show anything, but must neither look
 * outside the arena nor go on for long. And at every quiet moment a reader by plain loads must answer what the engine
 * answers.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/reader_plain.h"
#include "test/fake/faults.h"

enum {
	LEASE_MS = 1000,
	RENEW_MS = 200,
	LIFE_READS = 6000,
	RECENT = 8,
	POSTS_MAX = 4 + 2 * ZS_STEPS_CANDIDATES,
};

struct client {
	struct fake fake;
	struct zs_remote remote;
	struct zs_locations *locations;
	uint64_t renewed_ns; /* on the world's clock */
	struct zs_steps steps;
};

struct totals {
	uint64_t reads, hot_hits, cold_hits, fallen, asks[ZS_ASK_COUNT];
	uint64_t quiet_cold[POSTS_MAX + 1], quiet_reads, quiet_hits, quiet_lost;
	uint64_t garbage, garbage_hits, garbage_open, frozen, plain_hits, plain_misses, plain_asks, lives, resizes;
};

struct run {
	struct world world;
	struct client client;
	struct client spoiled;
	struct zs_plain plain;
	uint64_t plain_lease;
	uint64_t life_reads;
	unsigned recent[RECENT]; /* keys read lately: half the reads are of these */
	struct zs_clock plain_clock;
	uint64_t seed;
	struct totals totals;
};

static _Noreturn void fail(const struct run *run, unsigned key, const char *what)
{
	fprintf(stderr, "FAILED: reader_faults, seed %" PRIu64 ", read %" PRIu64 ", life %" PRIu64 ", key %u: %s\n",
		run->seed, run->totals.reads, run->world.lives, key, what);
	exit(1);
}

static uint64_t plain_now(void *context)
{
	return ((struct world *)context)->ns;
}

/* ---- sessions ---- */

static void renew(struct client *client)
{
	struct world *world = client->fake.world;
	uint64_t sent = fake_now(&client->fake);

	world->ns += world_below(world, 300000);
	client->renewed_ns = world->ns;
	zs_remote_lease(&client->remote, sent, (uint64_t)LEASE_MS * 1000000, world_ms(world));
}

static void connect_client(struct run *run, struct client *client)
{
	static const unsigned rates[] = { 88, 94, 100, 106, 112 };
	char why[256] = "";

	client->fake.world = &run->world;
	client->fake.clock_percent = rates[world_below(&run->world, 5)];
	if (zs_remote_init(&client->remote, run->world.engine->arena, run->world.engine->arena_size, client->locations,
			   why, sizeof(why)))
		fail(run, 0, why);
	renew(client);
}

static void open_plain(struct run *run)
{
	struct zs_plain_options options = {
		.base = run->world.engine->arena,
		.size = run->world.engine->arena_size,
		.lease = &run->plain_lease,
		.lease_tag = UINT16_MAX,
		.clock = &run->plain_clock,
		.node_ms_offset = (int64_t)(world_ms(&run->world) - run->world.ns / 1000000),
	};
	char why[256] = "";

	run->plain_lease = UINT64_MAX;
	run->plain_clock = (struct zs_clock){ plain_now, plain_now, &run->world };
	if (zs_plain_open(&run->plain, &options, why, sizeof(why)))
		fail(run, 0, why);
}

static void connect_all(struct run *run)
{
	connect_client(run, &run->client);
	connect_client(run, &run->spoiled);
	open_plain(run);
}

/* ---- one read ---- */

static enum zs_steps_status read_key(struct run *run, struct client *client, unsigned key)
{
	static char name[WORLD_KEY_MAX];
	size_t size = world_name(key, name);
	struct zs_steps *s = &client->steps;
	enum zs_steps_status status = zs_steps_start(s, &client->remote, name, size, fake_now(&client->fake));

	while (status == ZS_STEPS_FETCH) {
		if (s->round_trips > POSTS_MAX)
			fail(run, key, "it does not come to an end");
		status = fake_perform(&client->fake, s);
	}
	return status;
}

/* A quiet read misses nothing that the engine finds, but for what it may not tell. */
static void check_quiet(struct run *run, unsigned key, enum zs_steps_status status, bool known)
{
	struct totals *t = &run->totals;
	const struct zs_steps *s = &run->client.steps;
	char name[WORLD_KEY_MAX];
	struct zs_view view;
	struct zs_plain_read read = { .key = name, .key_size = world_name(key, name) };
	bool there = zs_get(run->world.thread, name, read.key_size, ZS_READ_PEEK, &view) == ZS_OK;

	t->quiet_reads++;
	if (status == ZS_STEPS_HIT) {
		t->quiet_hits++;
		if (!known)
			t->quiet_cold[s->round_trips]++;
		else if (s->round_trips > 1)
			t->fallen++;
		if (!there)
			fail(run, key, "it is shown, but the engine does not have it");
		if (view.deadline != s->value.deadline)
			fail(run, key, "it has another deadline than the engine says");
	} else if (there && !view.deadline && zs_plain_get(&run->plain, &read) == ZS_ANSWER_HIT) {
		t->quiet_lost++;
	}
	zs_thread_quiesce(run->world.thread);
}

static void check_plain(struct run *run, unsigned key)
{
	static uint8_t buffer[ZS_FRAME_SIZE];
	char name[WORLD_KEY_MAX];
	struct zs_plain_read read = { .key = name, .buffer = buffer, .buffer_size = sizeof(buffer) };
	struct zs_view view;
	const char *what;
	bool there;

	read.key_size = world_name(key, name);
	zs_thread_quiesce(run->world.thread);
	there = zs_get(run->world.thread, name, read.key_size, ZS_READ_PEEK, &view) == ZS_OK;
	switch (zs_plain_get(&run->plain, &read)) {
	case ZS_ANSWER_HIT:
		run->totals.plain_hits++;
		what = world_check(&run->world, key, run->world.keys[key].count, &read.value, buffer);
		if (what || !there)
			fail(run, key, what ? what : "plain loads show it, but the engine does not have it");
		break;
	case ZS_ANSWER_MISS:
		run->totals.plain_misses++;
		/* The engine's time is that of its last quiescent point. */
		if (there && !(view.deadline && view.deadline <= world_ms(&run->world)))
			fail(run, key, "plain loads miss it, but the engine has it");
		break;
	default:
		run->totals.plain_asks++;
	}
}

static void choose_faults(struct world *world, struct fake *fake, unsigned key)
{
	unsigned what = world_below(world, 10);

	fake->memory = what < 4 ? FAKE_AT_ONCE : what < 7 ? FAKE_LINES : FAKE_WORDS;
	fake->late = what == 3 || what == 6 || what == 9 ? 100 : 0;
	fake->fail = what == 3 || what == 6 || what == 9 ? 20 : 0;
	fake->garbage = false;
	fake->key = key;
}

static void read_once(struct run *run)
{
	struct world *world = &run->world;
	struct client *client = &run->client;
	struct totals *t = &run->totals;
	unsigned *recent = &run->recent[world_below(world, RECENT)];
	unsigned key = *recent = world_below(world, 2) ? *recent : world_pick(world);
	uint64_t since = world->keys[key].count;
	enum zs_steps_status status;
	const char *what;
	char name[WORLD_KEY_MAX];
	struct zs_location location;
	uint64_t hash;
	bool quiet;
	bool known;

	choose_faults(world, &client->fake, key);
	quiet = client->fake.memory == FAKE_AT_ONCE && !client->fake.late;
	hash = zs_hash(name, world_name(key, name), client->remote.seed);
	known = zs_locations_find(client->locations, hash, &location);
	status = read_key(run, client, key);
	t->reads++;
	if (status == ZS_STEPS_ASK) {
		t->asks[client->steps.reason]++;
	} else {
		what = world_check(world, key, since, &client->steps.value, client->steps.data);
		if (what)
			fail(run, key, what);
		if (client->steps.round_trips == 1)
			t->hot_hits++;
		else
			t->cold_hits++;
		if (!known && client->steps.round_trips < 2)
			fail(run, key, "a hit in one round trip, though nothing was known of the key");
	}
	if (quiet)
		check_quiet(run, key, status, known);
}

/* A reader that gets bad bytes: nothing is asked of it but that it stays within bounds and comes to an end. */
static void read_garbage(struct run *run)
{
	struct client *client = &run->spoiled;
	unsigned key = world_pick(&run->world);

	choose_faults(&run->world, &client->fake, key);
	client->fake.garbage = world_below(&run->world, 4) > 0;
	run->totals.garbage++;
	run->totals.garbage_hits += read_key(run, client, key) == ZS_STEPS_HIT;
	if (client->remote.restarted || world_below(&run->world, 200) == 0)
		connect_client(run, client);
}

/* A superblock of bad bytes: it is refused, or what is read by it stays within bounds. */
static void open_garbage(struct run *run)
{
	static _Alignas(ZS_FRAME_SIZE) uint8_t page[ZS_FRAME_SIZE];
	struct zs_plain_options options;
	static struct zs_remote remote;
	char why[256];

	memcpy(page, run->world.engine->arena, sizeof(page));
	for (unsigned i = 0; i < 3; i++) {
		size_t at = world_below(&run->world, 64 + sizeof(struct zs_partition_place));

		if (at >= 64)
			at += offsetof(struct zs_superblock, partition) - 64;
		page[at] = (uint8_t)world_random(&run->world);
	}
	if (zs_remote_init(&remote, page, run->world.engine->arena_size, NULL, why, sizeof(why)) == ZS_OK) {
		run->totals.garbage_open++;
		zs_remote_lease(&remote, fake_now(&run->spoiled.fake), (uint64_t)LEASE_MS * 1000000, 0);
		memcpy(&run->spoiled.remote, &remote, sizeof(remote));
		read_garbage(run);
		connect_client(run, &run->spoiled);
	}
	options = (struct zs_plain_options){ .base = page, .size = sizeof(page) };
	if (zs_plain_open(&(struct zs_plain){ 0 }, &options, why, sizeof(why)) == ZS_OK)
		fail(run, 0, "a single page was accepted as an arena");
}

/* ---- lives ---- */

/*
 * The node is stopped; when its leases have surely ended another one takes over its keys. Its memory can still be read,
 * but not believed. Then it starts anew.
 */
static void end_life(struct run *run)
{
	struct world *world = &run->world;
	struct zs_stats stats;

	zs_engine_stats(world->engine, &stats);
	run->totals.resizes += stats.index_resizes;
	world->ns = run->client.renewed_ns + (uint64_t)LEASE_MS * 1000000 + 1;
	world_take_over(world);
	for (unsigned i = 0; i < 100; i++) {
		unsigned key = world_pick(world);

		run->client.fake.memory = FAKE_AT_ONCE;
		run->client.fake.late = run->client.fake.fail = 0;
		if (read_key(run, &run->client, key) != ZS_STEPS_ASK || run->client.steps.reason != ZS_ASK_LEASE)
			fail(run, key, "a node that stopped is believed after its lease");
		run->totals.frozen++;
	}
	world_restart(world);
	run->life_reads = 0;
	connect_all(run);
}

static void one_round(struct run *run)
{
	struct world *world = &run->world;

	world_mutate(world, world_below(world, 3), WORLD_KEYS);
	if (world->ns - run->client.renewed_ns > (uint64_t)RENEW_MS * 1000000 && world_below(world, 50)) {
		renew(&run->client);
		renew(&run->spoiled);
	}
	read_once(run);
	run->life_reads++;
	if (world_below(world, 16) == 0)
		read_garbage(run);
	if (world_below(world, 4) == 0)
		check_plain(run, world_pick(world));
	if (world_below(world, 100) == 0)
		open_garbage(run);
	if (run->life_reads >= (world_is_tight(world) ? LIFE_READS / 3 : LIFE_READS))
		end_life(run);
}

static void report(const struct run *run)
{
	const struct totals *t = &run->totals;
	uint64_t cold = 0;
	uint64_t trips = 0;

	printf("%" PRIu64 " faked reads: %" PRIu64 " hot hits in 1 round trip, %" PRIu64 " other hits, asks:", t->reads,
	       t->hot_hits, t->cold_hits);
	for (unsigned i = 0; i < ZS_ASK_COUNT; i++)
		printf(" %s %" PRIu64, zs_ask_reason_text((enum zs_ask_reason)i), t->asks[i]);
	printf("\nquiet ones: %" PRIu64 ", hits %" PRIu64 ", cold hits by round trips:", t->quiet_reads, t->quiet_hits);
	for (unsigned i = 2; i <= POSTS_MAX; i++) {
		cold += t->quiet_cold[i];
		trips += i * t->quiet_cold[i];
		if (t->quiet_cold[i])
			printf(" %u: %" PRIu64, i, t->quiet_cold[i]);
	}
	printf(", mean %.3f; hits after a location that was over: %" PRIu64 "; not found though there: %" PRIu64 "\n",
	       cold ? (double)trips / (double)cold : 0.0, t->fallen, t->quiet_lost);
	printf("fed garbage: %" PRIu64 ", of them %" PRIu64 " hits; bad superblocks accepted: %" PRIu64
	       "; frozen: %" PRIu64 "; plain: %" PRIu64 " hits, %" PRIu64 " misses, %" PRIu64 " asks\n",
	       t->garbage, t->garbage_hits, t->garbage_open, t->frozen, t->plain_hits, t->plain_misses, t->plain_asks);
	printf("%" PRIu64 " writes, %" PRIu64 " lives, %" PRIu64 " resizes: no wrong, torn, stale or expired value\n",
	       run->world.writes, run->world.lives, t->resizes);
}

/* That the run saw what it is there for. */
static void check_totals(const struct run *run)
{
	const struct totals *t = &run->totals;

	if (t->reads < 20000)
		return;
	if (t->hot_hits < t->reads / 10 || t->cold_hits < t->reads / 50)
		fail(run, 0, "too few hits to prove anything");
	for (unsigned i = 0; i < ZS_ASK_COUNT; i++) {
		if (i != ZS_ASK_RESTARTED && i != ZS_ASK_CHANGING && !t->asks[i])
			fail(run, 0, zs_ask_reason_text((enum zs_ask_reason)i));
	}
	if (t->quiet_lost * 200 > t->quiet_hits)
		fail(run, 0, "too many quiet reads did not find what is there");
	if (t->resizes == 0 || t->plain_hits == 0 || t->plain_misses == 0)
		fail(run, 0, "the index never grew, or plain loads were not tried");
}

int main(int argc, char **argv)
{
	static struct run run;
	uint64_t reads = 200000;
	double seconds = 1e9;
	struct timespec begin;
	struct timespec now;

	run.seed = 1;
	for (int i = 1; i < argc; i += 2) {
		if (i + 1 < argc && strcmp(argv[i], "--reads") == 0) {
			reads = strtoull(argv[i + 1], NULL, 10);
		} else if (i + 1 < argc && strcmp(argv[i], "--seconds") == 0) {
			seconds = strtod(argv[i + 1], NULL);
		} else if (i + 1 < argc && strcmp(argv[i], "--seed") == 0) {
			run.seed = strtoull(argv[i + 1], NULL, 10);
		} else {
			fprintf(stderr, "usage: %s [--reads N] [--seconds N] [--seed S]\n", argv[0]);
			return 2;
		}
	}
	world_open(&run.world, run.seed);
	run.client.locations = zs_locations_new((size_t)1 << 16);
	run.spoiled.locations = zs_locations_new(4096);
	if (!run.client.locations || !run.spoiled.locations)
		fail(&run, 0, "no memory for the location caches");
	connect_all(&run);
	clock_gettime(CLOCK_MONOTONIC, &begin);
	do {
		for (unsigned i = 0; i < 1000 && run.totals.reads < reads; i++)
			one_round(&run);
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while (run.totals.reads < reads && (double)(now.tv_sec - begin.tv_sec) < seconds);
	report(&run);
	check_totals(&run);
	free(run.client.fake.landing);
	free(run.spoiled.fake.landing);
	zs_locations_free(run.client.locations);
	zs_locations_free(run.spoiled.locations);
	world_close(&run.world);
	return 0;
}
