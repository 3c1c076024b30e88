/*
 * What the engine's own work does to the operations beside it: one thread reads and writes as fast as it can, and
 * calls upkeep every so often, as a worker of the node does. The same load runs where nothing else is to be done, and
 * where objects expire, are evicted, are merged, or the index grows.
 *
 * The latency of an operation is the time since the one before it was done, so upkeep counts for the operation that
 * had to wait for it. Ratios are taken within a round of all scenes, because the machine is not the same all the time.
 *
 * A machine that is shared interrupts any program, some so often that this alone decides the p99.9. A calm engine has
 * no operation as long as PAUSE_NS, so longer ones are the machine's there; as many in a second are left out of each
 * scene of the round, the longest, for the column `own`.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/flags.h"
#include "bench/histogram.h"
#include "bench/json.h"
#include "bench/net.h"
#include "bench/random.h"
#include "bench/zipf.h"
#include "server/engine/internal.h"

#define KEY_SIZE 16
#define HOUR_MS 3600000u
#define ROUNDS_MAX 99
#define PAUSE_NS 5000u
#define DRAWN (1u << 22)

static uint64_t keys = 1000000;
static uint64_t value_size = 128;
static double sets = 0.5;
static double alpha = 0.9;
static double seconds = 1;
static uint64_t rounds = 5;
static uint64_t batch = 64;
static uint64_t budget_us;
static uint64_t ttl_ms = 500;
static const char *json_path;

static const struct zs_flag flags[] = {
	{ "keys", ZS_FLAG_NUMBER, &keys, 100000, 1e9, "N", "different keys (1M)" },
	{ "value-size", ZS_FLAG_NUMBER, &value_size, 32, 3000, "BYTES", "bytes of a value (128)" },
	{ "sets", ZS_FLAG_REAL, &sets, 0.01, 1, "SHARE", "of the operations; the others are GETs (0.5)" },
	{ "alpha", ZS_FLAG_REAL, &alpha, 0, 3, "A", "of the Zipf distribution of the keys; 0: uniform (0.9)" },
	{ "seconds", ZS_FLAG_REAL, &seconds, 0.1, 1000, "N", "of each scene in a round (1)" },
	{ "rounds", ZS_FLAG_NUMBER, &rounds, 1, ROUNDS_MAX, "N", "of all scenes (5)" },
	{ "batch", ZS_FLAG_NUMBER, &batch, 1, 100000, "N", "operations between two calls of upkeep (64)" },
	{ "budget", ZS_FLAG_NUMBER, &budget_us, 0, 100000, "US",
	  "that upkeep is given each time; 0: as a worker of the node, by the time since the last (0)" },
	{ "ttl", ZS_FLAG_NUMBER, &ttl_ms, 10, 60000, "MS", "time to live where objects expire (500)" },
	{ "json", ZS_FLAG_TEXT, &json_path, 0, 0, "FILE", "write the figures there, too" },
};

static const struct zs_program program = { "bench-stalls",
					   "How long operations wait while the engine expires, evicts, merges or grows "
					   "its index.",
					   flags, sizeof(flags) / sizeof(flags[0]) };

/* What differs between two scenes; keys and kinds of operations are the same in all. */
struct scene {
	const char *name;
	double memory; /* times what all keys need */
	double filled; /* share of the keys that are there at first */
	bool expires;  /* objects live for ttl_ms only */
	bool varies;   /* the size of values changes all the time: slots in slabs of other sizes are not filled again */
	bool grows;    /* only what happens while the index is being resized counts */
};

static const struct scene scenes[] = {
	{ "calm", 2, 1, false, false, false },	     { "expiring", 2, 1, true, false, false },
	{ "evicting", 0.5, 1, false, false, false }, { "merging", 2, 1, false, true, false },
	{ "growing", 4, 0.86, false, false, true },
};

#define SCENES (sizeof(scenes) / sizeof(scenes[0]))

enum kind { GET, SET, AFTER_UPKEEP, KINDS };

static const char *const kind_names[] = { "GET", "SET", "upkeep and the operation after it" };

/* What an operation waited for. */
struct stall {
	uint64_t ns;
	enum kind kind;
	uint64_t buckets; /* of the index, moved to another table */
	struct zs_counters work;
};

struct result {
	struct zs_histogram all;
	struct zs_histogram kinds[KINDS];
	struct zs_histogram round;
	double p999[ROUNDS_MAX];
	double own999[ROUNDS_MAX]; /* without the machine's pauses */
	uint64_t pauses;	   /* of the present round: operations longer than PAUSE_NS */
	struct stall longest;
	struct zs_counters work;
	uint64_t resizes;
	uint64_t upkeep_ns;
	uint64_t total_ns;
};

struct stage {
	const struct scene *scene;
	struct zs_engine *engine;
	struct zs_thread *thread;
	struct result *result;
	const uint32_t *drawn;
	uint32_t at;	    /* in `drawn` */
	uint64_t upkept_ns; /* when upkeep was last done */
	uint64_t counted_ns;
	struct zs_random random;
};

static struct result results[SCENES];

static void make_key(uint8_t *key, uint64_t number)
{
	static const char digits[] = "0123456789abcdef";

	for (int i = KEY_SIZE - 1; i >= 0; i--, number >>= 4)
		key[i] = (uint8_t)digits[number & 15];
}

static void store(struct stage *stage, uint64_t number)
{
	static uint8_t value[4000];
	uint8_t key[KEY_SIZE];
	uint64_t now = zs_thread_now(stage->thread);
	struct zs_set set = {
		.key = key,
		.key_size = KEY_SIZE,
		.value = value,
		/* Four sizes in turn, a few of them in a second. */
		.value_size = stage->scene->varies ? value_size - now / 200 % 4 * 8 : value_size,
		.deadline = now + (stage->scene->expires ? ttl_ms : HOUR_MS),
	};
	int error;

	make_key(key, number);
	do {
		error = zs_set(stage->thread, &set, NULL);
		if (error == ZS_EAGAIN)
			zs_thread_upkeep(stage->thread, 50);
	} while (error == ZS_EAGAIN);
	if (error) {
		fprintf(stderr, "bench-stalls: a write was refused: %s\n", zs_error_text(error));
		exit(1);
	}
}

static bool operate(struct stage *stage)
{
	uint32_t number = stage->drawn[stage->at++ % DRAWN];
	bool set = zs_random_unit(&stage->random) < sets;
	struct zs_view view;
	uint8_t key[KEY_SIZE];

	if (set) {
		store(stage, number);
	} else {
		make_key(key, number);
		zs_get(stage->thread, key, KEY_SIZE, 0, &view);
	}
	return set;
}

static bool is_growing(const struct stage *stage)
{
	const struct zs_part *part = &stage->engine->parts[0];

	return zs_load_acquire(&part->view)->previous.count || zs_load_acquire(&part->retired);
}

/* ---- measuring ---- */

static void add_work(struct zs_counters *sum, const struct zs_counters *before, const struct zs_counters *after)
{
#define ADD(name) sum->name += after->name - before->name;
	ZS_COUNTERS(ADD)
#undef ADD
}

/* What a worker of the node gives to upkeep: a sixteenth of the time. */
static unsigned budget(uint64_t since_ns)
{
	uint64_t us = budget_us ? budget_us : since_ns / 1000 / 16;

	return us < 1 ? 1 : us > 100 ? 100 : (unsigned)us;
}

/* Upkeep and the operations that wait for it. */
static void run_batch(struct stage *stage, bool counts)
{
	struct result *r = stage->result;
	struct zs_counters first = stage->thread->counters;
	uint64_t begin = zs_net_now();
	uint64_t last = begin;
	uint64_t upkept;

	zs_thread_upkeep(stage->thread, budget(begin - stage->upkept_ns));
	upkept = zs_net_now();
	stage->upkept_ns = upkept;
	for (uint64_t i = 0; i < batch; i++) {
		struct zs_counters before = i ? stage->thread->counters : first;
		uint32_t buckets = zs_load(&stage->engine->parts[0].migrated);
		bool set = operate(stage);
		uint64_t now = zs_net_now();

		enum kind kind = i == 0 ? AFTER_UPKEEP : set ? SET : GET;

		if (counts) {
			zs_histogram_add(&r->round, now - last, 1);
			r->pauses += now - last > PAUSE_NS;
			zs_histogram_add(&r->kinds[kind], now - last, 1);
			if (now - last > r->longest.ns) {
				r->longest = (struct stall){ .ns = now - last, .kind = kind };
				r->longest.buckets = zs_load(&stage->engine->parts[0].migrated) - buckets;
				add_work(&r->longest.work, &before, &stage->thread->counters);
			}
		}
		last = now;
	}
	if (counts) {
		add_work(&r->work, &first, &stage->thread->counters);
		r->upkeep_ns += upkept - begin;
		r->total_ns += last - begin;
		stage->counted_ns += last - begin;
	}
}

static void open_stage(struct stage *stage)
{
	double cost = (double)zs_object_cost(KEY_SIZE, value_size, true);
	struct zs_engine_options options;
	char why[256];

	zs_engine_options_init(&options);
	options.memory = (uint64_t)(cost * (double)keys * stage->scene->memory);
	options.threads = 1;
	options.seed = 1;
	options.prefault = true; /* the kernel's work is not what is measured */
	if (zs_engine_open(&options, &stage->engine, why, sizeof(why))) {
		fprintf(stderr, "bench-stalls: %s\n", why);
		exit(1);
	}
	stage->thread = zs_thread_attach(stage->engine);
	for (uint64_t i = 0; i < (uint64_t)((double)keys * stage->scene->filled); i++) {
		store(stage, i);
		if (i % 32 == 0)
			zs_thread_upkeep(stage->thread, 20);
	}
}

static void close_stage(struct stage *stage)
{
	stage->result->resizes += stage->engine->parts[0].resizes;
	zs_thread_detach(stage->thread);
	zs_engine_close(stage->engine);
}

/* Runs until enough was counted; where the index grows, until it has grown. */
static void play(struct stage *stage, uint64_t wanted_ns)
{
	uint64_t settled = zs_net_now() + wanted_ns / 4 + (stage->scene->expires ? ttl_ms * 1000000u : 0);
	bool growing = false;

	if (stage->scene->grows) {
		for (bool grown = false; !grown; grown = growing && !is_growing(stage)) {
			growing |= is_growing(stage);
			run_batch(stage, growing);
		}
		return;
	}
	while (zs_net_now() < settled || is_growing(stage))
		run_batch(stage, false);
	while (stage->counted_ns < wanted_ns)
		run_batch(stage, true);
}

/* `pauses_of_machine`, in a nanosecond: found by the first scene, the calm one. */
static void run_scene(unsigned s, unsigned round, const uint32_t *drawn, double *pauses_of_machine)
{
	struct result *r = &results[s];
	struct stage stage = { .scene = &scenes[s], .result = r, .drawn = drawn, .random = { round } };
	uint64_t wanted_ns = (uint64_t)(seconds * 1e9) / (scenes[s].grows ? 4 : 1);
	double kept;

	zs_histogram_reset(&r->round);
	r->pauses = 0;
	do {
		open_stage(&stage);
		play(&stage, wanted_ns);
		close_stage(&stage);
	} while (stage.counted_ns < wanted_ns);
	if (s == 0)
		*pauses_of_machine = (double)r->pauses / (double)stage.counted_ns;
	kept = 1 - *pauses_of_machine * (double)stage.counted_ns / (double)r->round.count;
	r->p999[round] = (double)zs_histogram_percentile(&r->round, 99.9);
	r->own999[round] = (double)zs_histogram_percentile(&r->round, 99.9 * kept);
	zs_histogram_merge(&r->all, &r->round);
}

/* ---- the table ---- */

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;

	return x < y ? -1 : x > y;
}

/* How many times the calm scene's p99.9 a scene's is, the median of all rounds. */
static double ratio(const double *p999, const double *calm)
{
	double ratios[ROUNDS_MAX] = { 0 };

	for (uint64_t i = 0; i < rounds; i++)
		ratios[i] = p999[i] / calm[i];
	qsort(ratios, rounds, sizeof(ratios[0]), compare);
	return ratios[rounds / 2];
}

static void say_work(const struct stall *stall)
{
	const struct zs_counters *w = &stall->work;
	const struct {
		const char *name;
		uint64_t count;
	} parts[] = {
		{ "expired", w->expired_objects },	{ "evicted", w->evicted_objects },
		{ "copied to keep", w->moved_evict },	{ "merged", w->moved_merge },
		{ "moved in time", w->moved_lifetime }, { "displaced", w->displaced },
		{ "buckets moved", stall->buckets },
	};
	const char *between = ": ";

	printf("%s", kind_names[stall->kind]);
	for (unsigned i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		if (!parts[i].count)
			continue;
		printf("%s%llu %s", between, (unsigned long long)parts[i].count, parts[i].name);
		between = ", ";
	}
	printf("%s\n", *between == ':' ? ": no work of the engine's" : "");
}

static const double percents[] = { 50, 99, 99.9, 99.99 };
static const char *const percent_keys[] = { "p50_ns", "p99_ns", "p999_ns", "p9999_ns" };

static void report_scene(unsigned s, struct zs_json *json)
{
	const struct result *r = &results[s];
	double thousands = (double)r->all.count / 1000;
	double whole = ratio(r->p999, results[0].p999);
	double own = ratio(r->own999, results[0].own999);

	printf("%-9s %6.2f", scenes[s].name, (double)r->all.count * 1000 / (double)r->total_ns);
	for (unsigned i = 0; i < 4; i++)
		printf(" %7.2f", (double)zs_histogram_percentile(&r->all, percents[i]) / 1000);
	printf(" %8.1f %6.2f %6.2f %7.1f\n", (double)r->all.longest / 1000, whole, own,
	       100 * (double)r->upkeep_ns / (double)r->total_ns);
	if (!json->file)
		return;
	zs_json_object(json, scenes[s].name);
	for (unsigned i = 0; i < 4; i++)
		zs_json_number(json, percent_keys[i], zs_histogram_percentile(&r->all, percents[i]));
	zs_json_number(json, "longest_ns", r->all.longest);
	zs_json_real(json, "ratio", whole);
	zs_json_real(json, "own_ratio", own);
	zs_json_real(json, "upkeep_share", (double)r->upkeep_ns / (double)r->total_ns);
	zs_json_real(json, "expired", (double)r->work.expired_objects / thousands);
	zs_json_real(json, "evicted", (double)r->work.evicted_objects / thousands);
	zs_json_real(json, "merged", (double)r->work.moved_merge / thousands);
	zs_json_end_object(json);
}

static void report(struct zs_json *json)
{
	printf("%llu keys, values of %llu bytes, %.0f %% SET, upkeep after %llu operations\n\n"
	       "microseconds %6s %7s %7s %7s %7s %8s %6s %6s %7s\n",
	       (unsigned long long)keys, (unsigned long long)value_size, 100 * sets, (unsigned long long)batch, "M/s",
	       "p50", "p99", "p99.9", "p99.99", "longest", "ratio", "own", "upkeep%");
	for (unsigned s = 0; s < SCENES; s++)
		report_scene(s, json);
	printf("\np99.9 of      %7s %7s  %s\n", kind_names[GET], kind_names[SET], kind_names[AFTER_UPKEEP]);
	for (unsigned s = 0; s < SCENES; s++) {
		printf("%-12s", scenes[s].name);
		for (unsigned k = 0; k < KINDS; k++)
			printf(" %7.2f", (double)zs_histogram_percentile(&results[s].kinds[k], 99.9) / 1000);
		putchar('\n');
	}
	printf("\nobjects of a thousand operations:\n");
	for (unsigned s = 0; s < SCENES; s++) {
		const struct zs_counters *w = &results[s].work;
		double thousands = (double)results[s].all.count / 1000;

		printf("%-9s %.1f expired, %.1f evicted, %.1f copied to keep, %.1f merged, %.1f moved in time, "
		       "%.1f displaced, %llu resizes\n",
		       scenes[s].name, (double)w->expired_objects / thousands, (double)w->evicted_objects / thousands,
		       (double)w->moved_evict / thousands, (double)w->moved_merge / thousands,
		       (double)w->moved_lifetime / thousands, (double)w->displaced / thousands,
		       (unsigned long long)results[s].resizes);
	}
	printf("\nthe longest:\n");
	for (unsigned s = 0; s < SCENES; s++) {
		printf("%-9s %8.1f us, ", scenes[s].name, (double)results[s].longest.ns / 1000);
		say_work(&results[s].longest);
	}
}

static uint32_t *draw_keys(void)
{
	struct zs_random random = { 1 };
	uint32_t *drawn = malloc(DRAWN * sizeof(*drawn));
	struct zs_zipf zipf;

	if (!drawn || zs_zipf_open(&zipf, keys, alpha)) {
		fprintf(stderr, "bench-stalls: not enough memory for %llu keys\n", (unsigned long long)keys);
		exit(1);
	}
	/* Ranks are spread over the numbers, so that the first slabs are not the popular ones. */
	for (uint32_t i = 0; i < DRAWN; i++)
		drawn[i] = (uint32_t)((zs_zipf_draw(&zipf, &random) * 0x9e3779b1ull) % keys);
	zs_zipf_close(&zipf);
	return drawn;
}

int main(int argc, char **argv)
{
	struct zs_json json = { .file = NULL };
	uint32_t *drawn;

	zs_flags_parse(&program, argc, argv);
	if (json_path && !zs_json_open(&json, json_path)) {
		perror(json_path);
		return 1;
	}
	drawn = draw_keys();
	for (unsigned round = 0; round < rounds; round++) {
		double pauses_of_machine = 0;

		for (unsigned s = 0; s < SCENES; s++)
			run_scene(s, round, drawn, &pauses_of_machine);
	}
	report(&json);
	free(drawn);
	if (json_path && !zs_json_close(&json)) {
		perror(json_path);
		return 1;
	}
	return 0;
}
