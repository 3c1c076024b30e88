/* zslab watch: a line per interval with what all nodes did in it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/command/figures.h"
#include "client/command/verbs.h"

/* Lines after which the heading is printed again. */
#define HEADING_EVERY 20

enum figure {
	COMMANDS,
	HITS,
	MISSES,
	EVICTED,
	EXPIRED,
	CONNECTIONS,
	MEMORY,
	FIGURES,
};

/* Where INFO has them; those that only rise are shown per second. */
static const struct {
	const char *name;
	const char *heading;
	bool rises;
} figures[FIGURES] = {
	[COMMANDS] = { "total_commands_processed", "commands/s", true },
	[HITS] = { "keyspace_hits", "hits/s", true },
	[MISSES] = { "keyspace_misses", "misses/s", true },
	[EVICTED] = { "evicted_keys", "evicted/s", true },
	[EXPIRED] = { "expired_keys", "expired/s", true },
	[CONNECTIONS] = { "connected_clients", "clients", false },
	[MEMORY] = { "used_memory", "memory", false },
};

static double now_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Adds the figures of one node. ZSLAB_OK, or why it does not tell them. */
static int add_node(struct zslab *handle, size_t node, double sums[FIGURES])
{
	static char text[1 << 17];
	int status = zslab_stats(handle, node, "everything", text, sizeof(text), NULL);

	if (status)
		return status;
	for (unsigned i = 0; i < FIGURES; i++)
		sums[i] += zs_figure(text, figures[i].name);
	return ZSLAB_OK;
}

static void print_heading(void)
{
	for (unsigned i = 0; i < FIGURES; i++)
		printf("%*s", i ? 12 : 11, figures[i].heading);
	printf("  nodes\n");
}

static void print_line(const double now[FIGURES], const double before[FIGURES], double seconds, size_t answered,
		       size_t nodes)
{
	for (unsigned i = 0; i < FIGURES; i++) {
		double value = figures[i].rises ? (now[i] - before[i]) / seconds : now[i];

		if (i == MEMORY)
			printf("%9.1f MB", value / (1 << 20));
		else
			printf("%*.0f", i ? 12 : 11, value > 0 ? value : 0);
	}
	printf("  %zu of %zu\n", answered, nodes);
	fflush(stdout);
}

/* The figures of all nodes; how many of them answered. */
static size_t take_figures(struct zslab *handle, double sums[FIGURES])
{
	size_t answered = 0;

	memset(sums, 0, FIGURES * sizeof(*sums));
	for (size_t i = 0; i < zslab_node_count(handle); i++) {
		if (add_node(handle, i, sums) == ZSLAB_OK)
			answered++;
		else
			fprintf(stderr, "zslab: %s\n", zslab_error(handle));
	}
	return answered;
}

int zs_verb_watch(struct zslab *handle, const struct arguments *a)
{
	const struct timespec pause = { a->interval_ms / 1000, (long)(a->interval_ms % 1000) * 1000000 };
	double before[FIGURES];
	double now[FIGURES];
	size_t answered_before = take_figures(handle, before);
	double began = now_seconds();
	size_t answered = answered_before;

	for (unsigned long i = 0; !a->count || i < a->count; i++) {
		double ended;

		nanosleep(&pause, NULL);
		answered = take_figures(handle, now);
		ended = now_seconds();
		if (i % HEADING_EVERY == 0)
			print_heading();
		/* Sums over other nodes than before say nothing about what happened in between. */
		print_line(now, answered == answered_before ? before : now, ended - began, answered,
			   zslab_node_count(handle));
		memcpy(before, now, sizeof(before));
		answered_before = answered;
		began = ended;
	}
	return answered == zslab_node_count(handle) ? EXIT_OK : EXIT_NODE;
}
