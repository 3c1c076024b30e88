/*
 * The dictionary that the model test holds beside the engine: for every key what must be there. It answers
 * two questions about each, may a read find it and may a read miss it, and checks everything that the engine
 * returns.
 *
 * Both are "yes" when objects may be evicted, and in the very millisecond of a deadline. A miss that was seen
 * once is final: the dictionary forgets the object, and finding it later is a failure.
 */
#ifndef ZS_TEST_ENGINE_MODEL_H
#define ZS_TEST_ENGINE_MODEL_H

#include "test/engine/support.h"

enum {
	ZS_MODEL_GROUPS = 12,
	ZS_MODEL_KEY_MAX = 520,
	ZS_MODEL_HELD = 16,
	ZS_MODEL_HISTORY = 4096,
	ZS_MODEL_NO_KEY = -1,
	ZS_MODEL_NO_GROUP = -1,
};

struct zs_model_entry {
	uint8_t *value; /* a number as its decimal */
	uint32_t size;
	uint32_t room;
	uint64_t deadline; /* as the engine stored it */
	int8_t group;
	bool present;
	bool number;
	bool stayed; /* there since the walk began */
	bool seen;   /* by the walk */
};

/* A view that the engine has to keep as it is until the next quiesce, and what it held. */
struct zs_model_held {
	struct zs_view view;
	uint8_t bytes[ZS_OBJECT_MAX];
};

struct zs_model_event {
	uint64_t op;
	const char *what;
	int key;
	int result;
	uint64_t detail;
};

struct zs_model {
	struct zs_test_clock clock;
	struct zs_engine *engine;
	struct zs_thread *thread;
	uint64_t random;
	bool evicts; /* memory is small: any object may be missed */

	struct zs_model_entry *entries;
	unsigned keys;

	struct zs_model_held held[ZS_MODEL_HELD];
	unsigned held_count;

	/* For the report of a failure. */
	uint64_t seed;
	const char *name;
	uint64_t op;
	struct zs_model_event history[ZS_MODEL_HISTORY];
};

/* Prints what went wrong, the seed and the last operations on the key, and ends the program. */
__attribute__((format(printf, 3, 4))) _Noreturn void zs_model_fail(const struct zs_model *model, int key,
								   const char *format, ...);

/* Remembers an operation for the report. */
void zs_model_note(struct zs_model *model, const char *what, int key, int result, uint64_t detail);

/* The bytes of a key; `buffer` has ZS_MODEL_KEY_MAX. Key 0 is the empty key; some are long. */
size_t zs_model_key(unsigned key, uint8_t *buffer);

/* The number of a key from its bytes. Fails for bytes that are none of the model's keys. */
unsigned zs_model_key_number(const struct zs_model *model, const void *data, size_t size);

bool zs_model_may_hit(const struct zs_model *model, unsigned key);
bool zs_model_may_miss(const struct zs_model *model, unsigned key);

/* Checks the outcome of a read: was it allowed, and is the view what must be there? Forgets the object at a
 * miss. */
void zs_model_check(struct zs_model *model, unsigned key, bool found, const struct zs_view *view);

/* The same without forgetting: for a look from within the engine. */
void zs_model_check_view(const struct zs_model *model, unsigned key, const struct zs_view *view);

/* Puts an object into the dictionary. `existed` says whether it replaces one. The deadline is set by
 * _deadline. */
void zs_model_store(struct zs_model *model, unsigned key, const void *value, size_t size, int group, bool existed);
void zs_model_remove(struct zs_model *model, unsigned key);

/*
 * After a write: takes the deadline that the engine stored. `exact` 0: it must fit `asked`, which was given
 * just now; else it must be that one.
 */
void zs_model_deadline(struct zs_model *model, unsigned key, uint64_t asked, bool exact);

/* Objects that must be there now, of that group or (ZS_MODEL_NO_GROUP) of all. */
uint64_t zs_model_count(const struct zs_model *model, int group);

/* Checks that no held view has changed, and lets all go. To be called before anything that ends views. */
void zs_model_release(struct zs_model *model);

#endif
