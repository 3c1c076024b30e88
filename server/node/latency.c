#include "server/node/latency.h"

#include <string.h>

void zs_latency_init(struct zs_latency *latency)
{
	*latency = (struct zs_latency){ 0 };
	pthread_mutex_init(&latency->lock, 0);
}

void zs_latency_free(struct zs_latency *latency)
{
	pthread_mutex_destroy(&latency->lock);
}

const char *zs_latency_name(enum zs_latency_event event)
{
	static const char *const names[] = { "command", "fast-command", "upkeep" };

	return names[event];
}

void zs_latency_add(struct zs_latency *latency, enum zs_latency_event event, uint64_t time_s, uint64_t ms)
{
	struct zs_latency_series *s = &latency->series[event];
	struct zs_latency_sample *last;

	pthread_mutex_lock(&latency->lock);
	last = &s->samples[(s->next + ZS_LATENCY_SAMPLES - 1) % ZS_LATENCY_SAMPLES];
	if (s->count && last->time_s == time_s) {
		if (last->ms < ms)
			last->ms = ms;
	} else {
		s->samples[s->next] = (struct zs_latency_sample){ time_s, ms };
		s->next = (s->next + 1) % ZS_LATENCY_SAMPLES;
		if (s->count < ZS_LATENCY_SAMPLES)
			s->count++;
	}
	if (s->longest_ms < ms)
		s->longest_ms = ms;
	pthread_mutex_unlock(&latency->lock);
}

void zs_latency_copy(struct zs_latency *latency, enum zs_latency_event event, struct zs_latency_series *series)
{
	const struct zs_latency_series *s = &latency->series[event];

	pthread_mutex_lock(&latency->lock);
	series->next = 0;
	series->count = s->count;
	series->longest_ms = s->longest_ms;
	for (unsigned i = 0; i < s->count; i++)
		series->samples[i] = s->samples[(s->next + ZS_LATENCY_SAMPLES - s->count + i) % ZS_LATENCY_SAMPLES];
	pthread_mutex_unlock(&latency->lock);
}

bool zs_latency_reset(struct zs_latency *latency, enum zs_latency_event event)
{
	bool had;

	pthread_mutex_lock(&latency->lock);
	had = latency->series[event].count > 0;
	memset(&latency->series[event], 0, sizeof(latency->series[event]));
	pthread_mutex_unlock(&latency->lock);
	return had;
}
