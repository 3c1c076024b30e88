#include "server/engine/epoch.h"

bool zs_epoch_passed(struct zs_epoch *epoch, uint64_t stamp)
{
	uint32_t used;
	uint64_t lowest;

	if (stamp < zs_load_acquire(&epoch->passed))
		return true;
	/* Read before the threads: what comes online after this has seen everything unlinked until now. */
	lowest = __atomic_load_n(&epoch->global, __ATOMIC_SEQ_CST);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	used = zs_load_acquire(&epoch->used);
	for (unsigned i = 0; i < used; i++) {
		uint64_t local = zs_load_acquire(&epoch->slots[i].local);

		if (local && local < lowest)
			lowest = local;
	}
	/* Others may have looked later than we did; never take their finding back. */
	for (uint64_t old = zs_load(&epoch->passed); old < lowest;) {
		if (__atomic_compare_exchange_n(&epoch->passed, &old, lowest, true, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
			break;
	}
	return stamp < lowest;
}
