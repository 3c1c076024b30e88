#include "server/node/stats.h"

#include <stdlib.h>
#include <string.h>

struct zs_stats_of_worker *zs_stats_new(void)
{
	struct zs_stats_of_worker *stats = calloc(1, sizeof(*stats));

	if (stats)
		pthread_mutex_init(&stats->error_lock, 0);
	return stats;
}

void zs_stats_free(struct zs_stats_of_worker *stats)
{
	if (!stats)
		return;
	pthread_mutex_destroy(&stats->error_lock);
	free(stats);
}

static void zero(_Atomic uint64_t *counter)
{
	atomic_store_explicit(counter, 0, memory_order_relaxed);
}

static void zero_command(struct zs_command_stats *s)
{
	zero(&s->rejected);
	zero(&s->failed);
	if (atomic_load_explicit(&s->calls, memory_order_relaxed) == 0)
		return;
	zero(&s->calls);
	zero(&s->ns);
	for (unsigned i = 0; i < ZS_HISTOGRAM_BUCKETS; i++)
		zero(&s->latency.counts[i]);
}

void zs_stats_follow(struct zs_stats_of_worker *stats, uint64_t epoch)
{
	if (atomic_load_explicit(&stats->epoch, memory_order_relaxed) == epoch)
		return;
	zero(&stats->commands);
	zero(&stats->bytes_in);
	zero(&stats->bytes_out);
	zero(&stats->errors);
	zero(&stats->overflows);
	zero(&stats->idle_closed);
	zero(&stats->stalls);
	for (unsigned i = 0; i < ZS_COMMANDS_MAX; i++)
		zero_command(&stats->command[i]);
	pthread_mutex_lock(&stats->error_lock);
	memset(stats->error_kinds, 0, sizeof(stats->error_kinds));
	pthread_mutex_unlock(&stats->error_lock);
	atomic_store_explicit(&stats->epoch, epoch, memory_order_release);
}

void zs_stats_error(struct zs_stats_of_worker *stats, const uint8_t *reply, size_t size)
{
	char name[ZS_ERROR_KIND_SIZE] = { 0 };

	for (size_t i = 1; i < size && i < sizeof(name) && reply[i] != ' ' && reply[i] != '\r'; i++)
		name[i - 1] = (char)reply[i];
	zs_count(&stats->errors, 1);
	pthread_mutex_lock(&stats->error_lock);
	for (unsigned i = 0; i < ZS_ERROR_KINDS; i++) {
		struct zs_error_kind *kind = &stats->error_kinds[i];

		if (!kind->count)
			memcpy(kind->name, name, sizeof(name));
		if (strcmp(kind->name, name) == 0) {
			kind->count++;
			break;
		}
	}
	pthread_mutex_unlock(&stats->error_lock);
}
