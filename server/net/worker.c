#include "server/net/worker.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/log.h"
#include "server/net/client.h"
#include "server/net/rdma.h"
#include "server/node/node.h"
#include "server/node/ticks.h"
#include "server/tier/store.h"

/* An idle worker wakes up this often for upkeep and timeouts. */
#define TICK_MS 100u

/* Each tick looks at one part of the clients, so that a second sees all. */
#define TICKS_PER_WALK 10u

/*
 * Upkeep gets this share of a worker's time, in many small pieces: whatever has arrived meanwhile waits for it. An idle
 * worker goes on with it at once, so the share is not what limits it.
 */
#define UPKEEP_SHARE 16u
#define UPKEEP_US_MAX 100u

/* ---- blocks ---- */

uint8_t *zs_blocks_take(struct zs_blocks *blocks)
{
	return blocks->count ? blocks->list[--blocks->count] : malloc(ZS_BLOCK_SIZE);
}

void zs_blocks_return(struct zs_blocks *blocks, uint8_t *block, size_t size)
{
	if (size == ZS_BLOCK_SIZE && blocks->count < ZS_BLOCKS_KEPT)
		blocks->list[blocks->count++] = block;
	else
		free(block);
}

static void free_blocks(struct zs_blocks *blocks)
{
	while (blocks->count)
		free(blocks->list[--blocks->count]);
}

/* ---- messages from others ---- */

bool zs_worker_give(struct zs_worker *worker, int fd)
{
	struct zs_inbox *inbox = &worker->inbox;
	bool given = true;

	pthread_mutex_lock(&worker->lock);
	if (inbox->used == inbox->size) {
		size_t larger = inbox->size ? inbox->size * 2 : 64;
		int *list = realloc(inbox->list, larger * sizeof(*list));

		if (list) {
			inbox->list = list;
			inbox->size = larger;
		} else {
			given = false;
		}
	}
	if (given) {
		inbox->list[inbox->used++] = fd;
		atomic_fetch_add_explicit(&worker->clients_count, 1, memory_order_relaxed);
	}
	pthread_mutex_unlock(&worker->lock);
	if (given)
		zs_loop_wake(worker->loop);
	return given;
}

static void take_inbox(struct zs_worker *w)
{
	struct zs_inbox inbox;

	pthread_mutex_lock(&w->lock);
	inbox = w->inbox;
	w->inbox = (struct zs_inbox){ 0 };
	pthread_mutex_unlock(&w->lock);
	for (size_t i = 0; i < inbox.used; i++)
		zs_client_accept(w, inbox.list[i]);
	free(inbox.list);
}

static void do_kills(struct zs_worker *w)
{
	bool some;

	pthread_mutex_lock(&w->lock);
	some = w->kills;
	w->kills = false;
	pthread_mutex_unlock(&w->lock);
	if (!some)
		return;
	for (struct zs_client *c = w->clients, *next; c; c = next) {
		next = c->next;
		if (c->kill)
			zs_client_close(c);
	}
}

static void on_woken(void *context)
{
	struct zs_worker *w = context;

	take_inbox(w);
	do_kills(w);
}

/* ---- what time brings ---- */

static unsigned walk_length(const struct zs_worker *w)
{
	return (unsigned)(atomic_load_explicit(&w->clients_count, memory_order_relaxed) / TICKS_PER_WALK + 1);
}

static void check_ages(struct zs_worker *w)
{
	uint64_t idle_ms = (uint64_t)zs_node_setting(w->node, ZS_SET_TIMEOUT) * 1000;

	for (unsigned n = walk_length(w); n; n--) {
		struct zs_client *c = w->cursor ? w->cursor : w->clients;

		if (!c)
			return;
		w->cursor = c->next;
		zs_client_check_age(c, w->now_ms, idle_ms);
	}
}

static void tick(struct zs_worker *w)
{
	if (w->now_ms < w->next_tick_ms)
		return;
	w->next_tick_ms = w->now_ms + TICK_MS;
	check_ages(w);
}

static void retry_stalled(struct zs_worker *w)
{
	struct zs_client *c = w->stalled;

	/* Those that stall again are put on a new list. */
	w->stalled = 0;
	while (c) {
		struct zs_client *next = c->next_stalled;

		if (c->warm_call && !zs_store_call_is_ready(c->warm_call)) {
			c->next_stalled = w->stalled;
			w->stalled = c;
		} else {
			zs_client_retry(c);
		}
		c = next;
	}
}

static bool upkeep(struct zs_worker *w)
{
	int64_t threshold_ms = zs_node_setting(w->node, ZS_SET_LATENCY_THRESHOLD);
	uint64_t ticks = zs_ticks();
	uint64_t us = zs_ticks_to_ns(ticks - w->upkeep_ticks) / 1000 / UPKEEP_SHARE;
	bool more = zs_thread_upkeep(w->engine_thread, us < UPKEEP_US_MAX ? (unsigned)us : UPKEEP_US_MAX);
	uint64_t ms;

	w->upkeep_ticks = zs_ticks();
	if (threshold_ms > 0) {
		ms = zs_ticks_to_ns(w->upkeep_ticks - ticks) / 1000000;
		if (ms >= (uint64_t)threshold_ms)
			zs_latency_add(&w->node->latency, ZS_LATENCY_UPKEEP, w->now_ms / 1000, ms);
	}
	return more;
}

/* ---- the end ---- */

static bool begin_stop(struct zs_worker *w)
{
	if (!atomic_load_explicit(&w->stop, memory_order_acquire))
		return false;
	if (!w->stopping) {
		w->stopping = true;
		w->stop_deadline_ms = w->now_ms + (uint64_t)zs_node_setting(w->node, ZS_SET_SHUTDOWN_TIMEOUT) * 1000;
	}
	return true;
}

/* Closes all clients that have no replies to take any more, or all when time is up. */
static void close_clients(struct zs_worker *w)
{
	bool all = w->now_ms >= w->stop_deadline_ms;

	for (struct zs_client *c = w->clients, *next; c; c = next) {
		next = c->next;
		if (all || (c->sending.used == 0 && c->reply.used == 0 && !c->stalled))
			zs_client_close(c);
	}
}

/* ---- the loop ---- */

static void one_round(struct zs_worker *w, unsigned timeout_ms)
{
	timeout_ms = zs_rdma_service_before_wait(w, timeout_ms);
	if (timeout_ms)
		zs_thread_offline(w->engine_thread);
	zs_loop_wait(w->loop, timeout_ms);
	if (timeout_ms)
		zs_thread_online(w->engine_thread);
	else
		zs_thread_quiesce(w->engine_thread);
	w->now_ms = zs_thread_now(w->engine_thread);
	zs_stats_follow(w->stats, atomic_load_explicit(&w->node->stats_epoch, memory_order_acquire));
}

static unsigned timeout_of(const struct zs_worker *w, bool more)
{
	if (more)
		return 0;
	if (w->stalled || w->stopping)
		return 1;
	return TICK_MS;
}

static void serve(struct zs_worker *w)
{
	bool more = false;

	for (;;) {
		size_t events;

		one_round(w, timeout_of(w, more));
		events = zs_loop_dispatch(w->loop) + zs_rdma_service_pump(w);
		retry_stalled(w);
		tick(w);
		more = upkeep(w);
		if (!begin_stop(w))
			continue;
		/* What had arrived when the stop came is answered: a round without events has seen it all. */
		if (events == 0 || w->now_ms >= w->stop_deadline_ms)
			close_clients(w);
		if (atomic_load_explicit(&w->clients_count, memory_order_relaxed) == 0)
			return;
	}
}

static int open_worker(struct zs_worker *w)
{
	struct zs_loop_handler handler = zs_client_handler;

	handler.woken = on_woken;
	handler.context = w;
	w->engine_thread = zs_thread_attach(w->node->engine);
	if (!w->engine_thread)
		return ENOMEM;
	if (zs_loop_open(w->node->loop_kind, &handler, &w->loop)) {
		int error = errno ? errno : ENOMEM;

		zs_thread_detach(w->engine_thread);
		return error;
	}
	if (zs_rdma_service_attach(w)) {
		int error = errno;

		zs_thread_detach(w->engine_thread);
		return error;
	}
	return 0;
}

static void *worker_main(void *context)
{
	struct zs_worker *w = context;

	w->start_error = open_worker(w);
	if (w->start_error) {
		sem_post(w->started);
		return 0;
	}
	w->now_ms = zs_thread_now(w->engine_thread);
	sem_post(w->started);
	serve(w);
	/* The loop stays until zs_worker_free: others may be about to wake it. */
	zs_thread_detach(w->engine_thread);
	return 0;
}

static void free_parts(struct zs_worker *w)
{
	if (w->loop)
		zs_loop_close_all(w->loop);
	free_blocks(&w->blocks);
	zs_store_call_free(w->warm_call);
	zs_resp_arguments_free(&w->arguments);
	zs_stats_free(w->stats);
	free(w->inbox.list);
	pthread_mutex_destroy(&w->lock);
}

static int start_thread(struct zs_worker *w, int cpu)
{
	pthread_attr_t attributes;
	cpu_set_t set;
	int error = pthread_attr_init(&attributes);

	if (error)
		return error;
	if (cpu >= 0) {
		CPU_ZERO(&set);
		CPU_SET((unsigned)cpu, &set);
		error = pthread_attr_setaffinity_np(&attributes, sizeof(set), &set);
	}
	if (!error)
		error = pthread_create(&w->pthread, &attributes, worker_main, w);
	pthread_attr_destroy(&attributes);
	return error;
}

int zs_worker_start(struct zs_worker *worker, struct zs_node *node, unsigned index, int cpu, sem_t *started)
{
	int error = ENOMEM;

	*worker = (struct zs_worker){ .node = node, .index = index, .started = started };
	pthread_mutex_init(&worker->lock, 0);
	worker->stats = zs_stats_new();
	if (!worker->stats || zs_resp_arguments_init(&worker->arguments))
		goto fail;
	error = start_thread(worker, cpu);
	if (error)
		goto fail;
	return 0;
fail:
	free_parts(worker);
	return error;
}

void zs_worker_stop(struct zs_worker *worker)
{
	atomic_store_explicit(&worker->stop, true, memory_order_release);
	zs_loop_wake(worker->loop);
}

void zs_worker_join(struct zs_worker *worker)
{
	pthread_join(worker->pthread, 0);
}

void zs_worker_free(struct zs_worker *worker)
{
	free_parts(worker);
}
