#include "server/node/slowlog.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void zs_slowlog_init(struct zs_slowlog *log)
{
	*log = (struct zs_slowlog){ 0 };
	pthread_mutex_init(&log->lock, 0);
}

static void free_entry(struct zs_slow_command *entry)
{
	for (size_t i = 0; i < entry->argc; i++)
		free(entry->argv[i]);
	free(entry);
}

static void free_list(struct zs_slow_command *entry)
{
	while (entry) {
		struct zs_slow_command *next = entry->next;

		free_entry(entry);
		entry = next;
	}
}

void zs_slowlog_free(struct zs_slowlog *log)
{
	zs_slowlog_reset(log);
	pthread_mutex_destroy(&log->lock);
}

static char *copy_argument(const struct zs_argument *argument, size_t *size)
{
	size_t shown = argument->size < ZS_SLOWLOG_ARGUMENT_SIZE ? argument->size : ZS_SLOWLOG_ARGUMENT_SIZE;
	char *copy = malloc(shown + 48);

	if (!copy)
		return 0;
	memcpy(copy, argument->data, shown);
	*size = shown;
	if (shown < argument->size)
		*size += (size_t)snprintf(copy + shown, 48, "... (%zu more bytes)", argument->size - shown);
	return copy;
}

static char *more_arguments(size_t count, size_t *size)
{
	char *text = malloc(64);

	if (text)
		*size = (size_t)snprintf(text, 64, "... (%zu more arguments)", count);
	return text;
}

static struct zs_slow_command *new_entry(const struct zs_slow_command *event, const struct zs_argument *argv,
					 size_t argc)
{
	struct zs_slow_command *entry = malloc(sizeof(*entry));
	size_t shown = argc <= ZS_SLOWLOG_ARGUMENTS ? argc : ZS_SLOWLOG_ARGUMENTS;

	if (!entry)
		return 0;
	*entry = *event;
	for (entry->argc = 0; entry->argc < shown; entry->argc++) {
		size_t i = entry->argc;
		bool rest = i + 1 == ZS_SLOWLOG_ARGUMENTS && argc > shown;

		entry->argv[i] =
		    rest ? more_arguments(argc - i, &entry->sizes[i]) : copy_argument(&argv[i], &entry->sizes[i]);
		if (!entry->argv[i]) {
			free_entry(entry);
			return 0;
		}
	}
	return entry;
}

/* Cuts the list behind `max` entries and returns the rest. */
static struct zs_slow_command *trim(struct zs_slowlog *log, size_t max)
{
	struct zs_slow_command **link = &log->first;
	struct zs_slow_command *rest;

	for (size_t i = 0; i < max && *link; i++)
		link = &(*link)->next;
	rest = *link;
	*link = 0;
	if (log->count > max)
		log->count = max;
	return rest;
}

void zs_slowlog_add(struct zs_slowlog *log, size_t max, const struct zs_slow_command *event,
		    const struct zs_argument *argv, size_t argc)
{
	struct zs_slow_command *entry = new_entry(event, argv, argc);
	struct zs_slow_command *rest;

	if (!entry)
		return;
	pthread_mutex_lock(&log->lock);
	entry->id = log->next_id++;
	entry->next = log->first;
	log->first = entry;
	log->count++;
	rest = trim(log, max);
	pthread_mutex_unlock(&log->lock);
	free_list(rest);
}

void zs_slowlog_reset(struct zs_slowlog *log)
{
	struct zs_slow_command *rest;

	pthread_mutex_lock(&log->lock);
	rest = trim(log, 0);
	pthread_mutex_unlock(&log->lock);
	free_list(rest);
}

size_t zs_slowlog_count(struct zs_slowlog *log)
{
	size_t count;

	pthread_mutex_lock(&log->lock);
	count = log->count;
	pthread_mutex_unlock(&log->lock);
	return count;
}

void zs_slowlog_each(struct zs_slowlog *log, size_t count,
		     void (*each)(void *context, const struct zs_slow_command *entry), void *context)
{
	pthread_mutex_lock(&log->lock);
	for (struct zs_slow_command *e = log->first; e && count; e = e->next, count--)
		each(context, e);
	pthread_mutex_unlock(&log->lock);
}
