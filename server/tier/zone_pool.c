#include "server/tier/zone_pool.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include "common/error.h"

/* ---- queues ---- */

static void queue_init(struct zs_zone_queue *queue)
{
	queue->first = NULL;
	queue->last = &queue->first;
}

static void queue_put(struct zs_zone_queue *queue, struct zs_zone_request *request)
{
	request->next = NULL;
	*queue->last = request;
	queue->last = &request->next;
}

static struct zs_zone_request *queue_take(struct zs_zone_queue *queue)
{
	struct zs_zone_request *request = queue->first;

	if (!request)
		return NULL;
	queue->first = request->next;
	if (!queue->first)
		queue->last = &queue->first;
	return request;
}

/* ---- threads ---- */

/* The descriptor is readable as long as something is there. The lock is held. */
static void put_done(struct zs_zone_pool *pool, struct zs_zone_request *request)
{
	if (!pool->done.first)
		(void)eventfd_write(pool->fd, 1);
	queue_put(&pool->done, request);
}

static void *work(void *argument)
{
	struct zs_zone_pool *pool = argument;
	struct zs_zone_request *request;

	pthread_mutex_lock(&pool->lock);
	for (;;) {
		request = queue_take(&pool->todo);
		if (request) {
			pthread_mutex_unlock(&pool->lock);
			pool->perform(pool->context, request);
			pthread_mutex_lock(&pool->lock);
			put_done(pool, request);
		} else if (pool->ending) {
			break;
		} else {
			pthread_cond_wait(&pool->more, &pool->lock);
		}
	}
	pthread_mutex_unlock(&pool->lock);
	return NULL;
}

int zs_zone_pool_open(struct zs_zone_pool *pool, void (*perform)(void *, struct zs_zone_request *), void *context)
{
	*pool = (struct zs_zone_pool){ .perform = perform, .context = context };
	queue_init(&pool->todo);
	queue_init(&pool->done);
	pool->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (pool->fd < 0)
		return ZS_ESYS;
	pthread_mutex_init(&pool->lock, NULL);
	pthread_cond_init(&pool->more, NULL);
	for (; pool->threads < ZS_ZONE_POOL_THREADS; pool->threads++) {
		if (pthread_create(&pool->thread[pool->threads], NULL, work, pool)) {
			zs_zone_pool_close(pool);
			return ZS_ENOMEM;
		}
	}
	return ZS_OK;
}

void zs_zone_pool_close(struct zs_zone_pool *pool)
{
	pthread_mutex_lock(&pool->lock);
	pool->ending = true;
	pthread_cond_broadcast(&pool->more);
	pthread_mutex_unlock(&pool->lock);
	for (unsigned i = 0; i < pool->threads; i++)
		pthread_join(pool->thread[i], NULL);
	pthread_cond_destroy(&pool->more);
	pthread_mutex_destroy(&pool->lock);
	close(pool->fd);
}

/* ---- requests ---- */

void zs_zone_pool_put(struct zs_zone_pool *pool, struct zs_zone_request *request)
{
	pthread_mutex_lock(&pool->lock);
	queue_put(&pool->todo, request);
	pthread_cond_signal(&pool->more);
	pthread_mutex_unlock(&pool->lock);
}

void zs_zone_pool_done(struct zs_zone_pool *pool, struct zs_zone_request *request)
{
	pthread_mutex_lock(&pool->lock);
	put_done(pool, request);
	pthread_mutex_unlock(&pool->lock);
}

unsigned zs_zone_pool_take(struct zs_zone_pool *pool, struct zs_zone_request **done, unsigned max)
{
	unsigned count = 0;
	eventfd_t ignored;

	pthread_mutex_lock(&pool->lock);
	while (count < max && pool->done.first)
		done[count++] = queue_take(&pool->done);
	if (count && !pool->done.first)
		(void)eventfd_read(pool->fd, &ignored);
	pthread_mutex_unlock(&pool->lock);
	return count;
}
