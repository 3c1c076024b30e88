#include "client/bench/load.h"

#include <stdio.h>
#include <stdlib.h>

/* Writes under way at a time, and keys that are looked for at a time. */
#define DEPTH 128

struct slot {
	struct zslab_op op;
	char key[ZS_BENCH_KEY_SIZE];
};

struct loader {
	struct zs_worker *worker;
	struct slot *slots;
	uint8_t *values;
	struct slot *spare[DEPTH];
	unsigned spares;
};

static bool fetch(struct loader *l, int timeout_ms)
{
	struct zslab_op *done[DEPTH];
	int count = zslab_poll(l->worker->handle, done, DEPTH, timeout_ms);

	if (count < 0)
		return false;
	for (int i = 0; i < count; i++) {
		if (done[i]->status) {
			fprintf(stderr, "zslab-bench: loading fails: %s\n",
				done[i]->error[0] ? done[i]->error : zslab_error_text(done[i]->status));
			return false;
		}
		l->spare[l->spares++] = done[i]->user;
	}
	return true;
}

static bool write_key(struct loader *l, uint64_t number)
{
	size_t size = l->worker->run->value_size;
	struct slot *slot;
	uint8_t *value;

	while (!l->spares) {
		if (!fetch(l, -1))
			return false;
	}
	slot = l->spare[--l->spares];
	value = l->values + (size_t)(slot - l->slots) * size;
	zs_bench_key(number, slot->key);
	zs_bench_value(number, value, size);
	slot->op = (struct zslab_op){
		.kind = ZSLAB_SET,
		.key = slot->key,
		.key_size = sizeof(slot->key),
		.value = value,
		.value_size = size,
		.timeout_ms = 30000,
		.user = slot,
	};
	if (zslab_submit(l->worker->handle, &slot->op) >= 0)
		return true;
	fprintf(stderr, "zslab-bench: loading fails: %s\n", zslab_error(l->worker->handle));
	return false;
}

/* Writes those of `count` keys that are absent, or left by somebody with values of another size. */
static bool load_batch(struct loader *l, uint64_t first, unsigned count)
{
	struct zs_worker *w = l->worker;
	struct zslab_op op = { .kind = ZSLAB_MGET, .items = w->items, .item_count = count, .timeout_ms = 30000 };

	for (unsigned i = 0; i < count; i++) {
		zs_bench_key(first + i, w->names[i]);
		w->items[i] = (struct zslab_item){ .key = w->names[i], .key_size = ZS_BENCH_KEY_SIZE };
	}
	if (zslab_run(w->handle, &op)) {
		fprintf(stderr, "zslab-bench: loading fails: %s\n", op.error);
		return false;
	}
	for (unsigned i = 0; i < count; i++) {
		bool there = w->items[i].status != ZSLAB_ENOTFOUND && w->items[i].size == w->run->value_size;

		if (!there && !write_key(l, first + i))
			return false;
	}
	atomic_fetch_add_explicit(&w->loaded, count, memory_order_relaxed);
	return true;
}

bool zs_bench_load(struct zs_worker *w)
{
	uint64_t first = w->run->keys * w->number / w->run->threads;
	uint64_t end = w->run->keys * (w->number + 1) / w->run->threads;
	struct loader l = {
		.worker = w,
		.slots = calloc(DEPTH, sizeof(*l.slots)),
		.values = malloc(DEPTH * w->run->value_size + 1),
	};
	bool ok = l.slots && l.values;

	for (unsigned i = 0; ok && i < DEPTH; i++)
		l.spare[l.spares++] = &l.slots[i];
	while (ok && first < end && !atomic_load_explicit(&w->run->stop, memory_order_relaxed)) {
		unsigned count = end - first < DEPTH ? (unsigned)(end - first) : DEPTH;

		ok = load_batch(&l, first, count);
		first += count;
	}
	while (ok && l.spares < DEPTH)
		ok = fetch(&l, -1);
	if (!ok && l.slots) {
		/* What is under way still points to our memory. */
		zslab_close(w->handle);
		w->handle = NULL;
	}
	free(l.values);
	free(l.slots);
	return ok;
}
