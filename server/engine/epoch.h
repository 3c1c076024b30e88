/*
 * Quiescent-state-based reclamation: when may memory that readers could still look at be used again?
 *
 * Every attached thread publishes, in a cache line of its own, the global epoch as it read it at its last
 * quiescent point (0 while it is offline). Memory is unlinked first; then zs_epoch_stamp() gives a stamp; the memory is
 * free to use as soon as every online thread has published an epoch later than the stamp, because then each has passed
 * a quiescent point that began after the unlinking.
 *
 * Reading costs nothing; a quiescent point is one load and one store to the thread's own line.
 */
#ifndef ZS_SERVER_ENGINE_EPOCH_H
#define ZS_SERVER_ENGINE_EPOCH_H

#include <stdbool.h>
#include <stdint.h>

#include "common/atomic.h"

#define ZS_EPOCH_THREADS_MAX 256

struct zs_epoch_slot {
	_Alignas(64) uint64_t local; /* 0: offline or unused */
};

struct zs_epoch {
	_Alignas(64) uint64_t global; /* starts at 1 */
	_Alignas(64) uint64_t passed; /* every stamp below this has passed; a cache of the last look around */
	_Alignas(64) uint32_t used;   /* slots in use are below this */
	struct zs_epoch_slot slots[ZS_EPOCH_THREADS_MAX];
};

/* A quiescent point of the thread that owns `slot`. */
static inline void zs_epoch_quiesce(struct zs_epoch *epoch, struct zs_epoch_slot *slot)
{
	zs_store_release(&slot->local, zs_load_acquire(&epoch->global));
}

static inline void zs_epoch_offline(struct zs_epoch_slot *slot)
{
	zs_store_release(&slot->local, 0);
}

static inline void zs_epoch_online(struct zs_epoch *epoch, struct zs_epoch_slot *slot)
{
	/* Sequentially consistent: the store must be seen before our next loads look at shared memory. */
	__atomic_store_n(&slot->local, __atomic_load_n(&epoch->global, __ATOMIC_SEQ_CST), __ATOMIC_SEQ_CST);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* The stamp for what was unlinked before this call. Cheap; somebody has to call zs_epoch_advance afterwards. */
static inline uint64_t zs_epoch_stamp(const struct zs_epoch *epoch)
{
	return __atomic_load_n(&epoch->global, __ATOMIC_SEQ_CST);
}

/* Begins a new epoch, so that stamps taken before can pass. */
static inline void zs_epoch_advance(struct zs_epoch *epoch)
{
	zs_fetch_add(&epoch->global, 1);
}

/* Whether memory with this stamp may be used again. Looks at all threads unless an earlier look suffices. */
bool zs_epoch_passed(struct zs_epoch *epoch, uint64_t stamp);

#endif
