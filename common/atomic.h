/*
 * The atomic accesses that the arena needs: its words are plain memory (also for a reader in another process
 * or behind a network card), so they cannot be declared _Atomic.
 */
#ifndef ZS_COMMON_ATOMIC_H
#define ZS_COMMON_ATOMIC_H

#include <stdint.h>

#define zs_load(p) __atomic_load_n((p), __ATOMIC_RELAXED)
#define zs_load_acquire(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define zs_store(p, v) __atomic_store_n((p), (v), __ATOMIC_RELAXED)
#define zs_store_release(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define zs_fetch_add(p, v) __atomic_fetch_add((p), (v), __ATOMIC_SEQ_CST)
#define zs_fetch_or(p, v) __atomic_fetch_or((p), (v), __ATOMIC_SEQ_CST)
#define zs_fetch_and(p, v) __atomic_fetch_and((p), (v), __ATOMIC_SEQ_CST)

#if defined(__SANITIZE_THREAD__)
#define ZS_THREAD_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define ZS_THREAD_SANITIZER 1
#endif
#endif

/*
 * Two neighbouring 32-bit words, the first one in the lower half. They may be of different moments: for what a sequence
 * guards. One load, but where ThreadSanitizer has to understand it.
 */
static inline uint64_t zs_load_pair(const uint32_t *p)
{
#if defined(__x86_64__) && !defined(ZS_THREAD_SANITIZER)
	uint64_t pair;

	__builtin_memcpy(&pair, p, sizeof(pair));
	return pair;
#else
	return zs_load(&p[0]) | (uint64_t)zs_load(&p[1]) << 32;
#endif
}

/*
 * Loads a line and forgets it, so that it is in the cache. Other threads may be writing it; ThreadSanitizer need not
 * know, as no use is made of what was there.
 */
__attribute__((no_sanitize("thread"))) static inline void zs_touch_line(const void *byte)
{
	(void)*(const volatile uint8_t *)byte;
}

/* Lets the other hardware thread run while we wait for a word to change. */
static inline void zs_cpu_relax(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

#endif
