#include "client/bench/worker.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "client/bench/load.h"

uint64_t zs_bench_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void add(_Atomic uint64_t *counter, uint64_t n)
{
	/* Only this thread writes it. */
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n, memory_order_relaxed);
}

static uint64_t draw_key(struct zs_worker *w)
{
	struct zs_run *run = w->run;
	uint64_t keys = run->keys + atomic_load_explicit(&run->inserted, memory_order_relaxed);

	return zs_workload_key(run->workload, &run->zipf, keys, &w->random);
}

/* ---- errors ---- */

/* The first one of a thread is shown; there may be millions. */
static void count_error(struct zs_worker *w, int status)
{
	if (!atomic_load_explicit(&w->errors, memory_order_relaxed))
		fprintf(stderr, "zslab-bench: %s: %s\n", zslab_error_name(status), zslab_error(w->handle));
	add(&w->errors, 1);
}

static void check_value(struct zs_worker *w, int status, uint64_t number, const void *value, size_t size)
{
	w->keys++;
	if (status == ZSLAB_ENOTFOUND) {
		w->misses++;
		return;
	}
	if (status) {
		count_error(w, status);
		return;
	}
	if (size == w->run->value_size && zs_bench_value_is_right(number, value, size))
		return;
	if (!atomic_load_explicit(&w->wrong, memory_order_relaxed))
		fprintf(stderr, "zslab-bench: key %llu has a value of %zu bytes that was never written\n",
			(unsigned long long)number, size);
	add(&w->wrong, 1);
	add(&w->errors, 1);
}

/* ---- actions: each prepares, calls, and returns the time of the call if it is to be measured ---- */

static uint64_t begin(bool timed)
{
	return timed ? zs_bench_now() : 0;
}

static uint64_t end(bool timed, uint64_t began)
{
	return timed ? zs_bench_now() - began : 0;
}

static uint64_t read_one(struct zs_worker *w, const char *key, uint64_t number, bool timed)
{
	const void *value;
	size_t size;
	uint64_t began;
	uint64_t took;
	int status;

	began = begin(timed);
	status = zslab_get(w->handle, key, ZS_BENCH_KEY_SIZE, &value, &size);
	took = end(timed, began);
	check_value(w, status, number, value, size);
	return took;
}

static uint64_t write_one(struct zs_worker *w, uint64_t number, bool timed)
{
	char key[ZS_BENCH_KEY_SIZE];
	uint64_t began;
	uint64_t took;
	int status;

	zs_bench_key(number, key);
	zs_bench_value(number, w->value, w->run->value_size);
	began = begin(timed);
	status = zslab_set(w->handle, key, sizeof(key), w->value, w->run->value_size, 0);
	took = end(timed, began);
	w->keys++;
	if (status)
		count_error(w, status);
	return took;
}

/* Reads w->numbers[0..count-1]. */
static uint64_t read_many(struct zs_worker *w, unsigned count, bool timed)
{
	uint64_t began;
	uint64_t took;

	for (unsigned i = 0; i < count; i++) {
		zs_bench_key(w->numbers[i], w->names[i]);
		w->items[i] = (struct zslab_item){
			.key = w->names[i],
			.key_size = ZS_BENCH_KEY_SIZE,
			.buffer = w->values + i * w->run->value_size,
			.buffer_size = w->run->value_size,
		};
	}
	began = begin(timed);
	(void)zslab_mget(w->handle, w->items, count); /* every item has a status */
	took = end(timed, began);
	for (unsigned i = 0; i < count; i++)
		check_value(w, w->items[i].status, w->numbers[i], w->items[i].buffer, w->items[i].size);
	return took;
}

static uint64_t read_drawn(struct zs_worker *w, bool timed)
{
	for (unsigned i = 0; i < w->run->batch; i++)
		w->numbers[i] = draw_key(w);
	return read_many(w, w->run->batch, timed);
}

static uint64_t read_range(struct zs_worker *w, bool timed)
{
	unsigned count = 1 + (unsigned)zs_random_below(&w->random, w->run->batch);
	uint64_t first = draw_key(w);

	for (unsigned i = 0; i < count; i++)
		w->numbers[i] = (first + i) % w->run->keys;
	return read_many(w, count, timed);
}

/*
 * Draws what comes next, many at a time: the processor then has nothing else to do between two reads and can begin one
 * while the last one still waits for memory, as in a program that knows its keys.
 */
static __attribute__((noinline)) void draw_ahead(struct zs_worker *w)
{
	for (unsigned i = 0; i < ZS_BENCH_AHEAD; i++) {
		struct zs_drawn *next = &w->ahead[i];

		next->action = zs_workload_draw(w->run->workload, &w->random);
		next->number = draw_key(w);
		zs_bench_key(next->number, next->key);
	}
	w->used = 0;
}

static uint64_t act(struct zs_worker *w, bool timed)
{
	const struct zs_drawn *next;
	uint64_t number;

	if (w->used == ZS_BENCH_AHEAD)
		draw_ahead(w);
	next = &w->ahead[w->used++];
	switch (next->action) {
	case ZS_ACTION_READ:
		return read_one(w, next->key, next->number, timed);
	case ZS_ACTION_UPDATE:
		return write_one(w, next->number, timed);
	case ZS_ACTION_INSERT:
		/* Counted before it is written: a read in between misses it, which is a miss like others. */
		number = w->run->keys + atomic_fetch_add_explicit(&w->run->inserted, 1, memory_order_relaxed);
		return write_one(w, number, timed);
	case ZS_ACTION_MULTI:
		return read_drawn(w, timed);
	case ZS_ACTION_RANGE:
		return read_range(w, timed);
	default:
		return read_one(w, next->key, next->number, timed) + write_one(w, next->number, timed);
	}
}

static void measure(struct zs_worker *w)
{
	unsigned until_sample = 1;
	uint64_t began = zs_bench_now();

	w->used = ZS_BENCH_AHEAD;
	while (!atomic_load_explicit(&w->run->stop, memory_order_relaxed)) {
		bool timed = !--until_sample;
		uint64_t took = act(w, timed);

		if (timed) {
			zs_histogram_add(&w->histogram, took, 1);
			until_sample = w->run->sample;
		}
		add(&w->operations, 1);
	}
	w->busy_ns = zs_bench_now() - began;
}

static bool prepare(struct zs_worker *w)
{
	char why[ZSLAB_ERROR_MAX];

	if (!zslab_open(&w->handle, w->run->addresses, w->run->address_count, &w->run->options, why, sizeof(why)))
		return zs_bench_load(w);
	fprintf(stderr, "zslab-bench: %s\n", why);
	return false;
}

void *zs_worker_main(void *context)
{
	struct zs_worker *w = context;

	if (!prepare(w)) {
		atomic_store(&w->run->failed, true);
		atomic_store(&w->run->stop, true);
	}
	pthread_barrier_wait(&w->run->barrier);
	pthread_barrier_wait(&w->run->barrier);
	if (!atomic_load(&w->run->failed))
		measure(w);
	if (w->handle)
		(void)zslab_counters(w->handle, &w->counters);
	pthread_barrier_wait(&w->run->barrier);
	zslab_close(w->handle);
	return NULL;
}
