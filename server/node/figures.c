#include "server/node/figures.h"

#include <string.h>

#include "server/net/worker.h"

static uint64_t value(const _Atomic uint64_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

/* The figures of a worker, or NULL if they are from before the last reset. */
static struct zs_stats_of_worker *current(struct zs_node *node, unsigned worker)
{
	struct zs_stats_of_worker *stats = node->workers[worker].stats;
	uint64_t epoch = atomic_load_explicit(&node->stats_epoch, memory_order_acquire);

	return atomic_load_explicit(&stats->epoch, memory_order_acquire) == epoch ? stats : 0;
}

void zs_figures_sum(struct zs_node *node, struct zs_figures *figures)
{
	*figures = (struct zs_figures){ 0 };
	for (unsigned i = 0; i < node->workers_count; i++) {
		const struct zs_stats_of_worker *s = current(node, i);

		if (!s)
			continue;
		figures->commands += value(&s->commands);
		figures->bytes_in += value(&s->bytes_in);
		figures->bytes_out += value(&s->bytes_out);
		figures->errors += value(&s->errors);
		figures->overflows += value(&s->overflows);
		figures->idle_closed += value(&s->idle_closed);
		figures->stalls += value(&s->stalls);
	}
}

void zs_figures_of_command(struct zs_node *node, unsigned id, struct zs_command_figures *figures)
{
	*figures = (struct zs_command_figures){ 0 };
	for (unsigned i = 0; i < node->workers_count; i++) {
		const struct zs_stats_of_worker *s = current(node, i);
		const struct zs_command_stats *c;

		if (!s)
			continue;
		c = &s->command[id];
		figures->rejected += value(&c->rejected);
		figures->failed += value(&c->failed);
		if (!value(&c->calls))
			continue;
		figures->calls += value(&c->calls);
		figures->ns += value(&c->ns);
		zs_histogram_sum(&c->latency, figures->latency);
	}
}

static void add_error(struct zs_error_kind *kinds, const struct zs_error_kind *more)
{
	for (unsigned i = 0; i < ZS_ERROR_KINDS; i++) {
		if (!kinds[i].count)
			memcpy(kinds[i].name, more->name, sizeof(kinds[i].name));
		if (strcmp(kinds[i].name, more->name) == 0) {
			kinds[i].count += more->count;
			return;
		}
	}
}

void zs_figures_errors(struct zs_node *node, struct zs_error_kind *kinds)
{
	memset(kinds, 0, (ZS_ERROR_KINDS + 1) * sizeof(*kinds));
	for (unsigned i = 0; i < node->workers_count; i++) {
		struct zs_stats_of_worker *s = current(node, i);

		if (!s)
			continue;
		pthread_mutex_lock(&s->error_lock);
		for (unsigned j = 0; j < ZS_ERROR_KINDS && s->error_kinds[j].count; j++)
			add_error(kinds, &s->error_kinds[j]);
		pthread_mutex_unlock(&s->error_lock);
	}
}
