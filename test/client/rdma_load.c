#include "test/client/rdma_load.h"

#include <inttypes.h>
#include <stdlib.h>

void start_faulty(struct test_node *node, const char *settings, const char *const *options)
{
	assert_int_equal(setenv("ZS_SOFT_VERBS", settings, 1), 0);
	node_start(node, options);
	unsetenv("ZS_SOFT_VERBS");
}

struct zslab *open_rdma(const struct test_node *node)
{
	struct zslab_options options = { .via = ZSLAB_VIA_RDMA,
					 .timeout_ms = RDMA_PATIENCE_MS,
					 .connect_timeout_ms = 5000 };
	const char *address = node->tcp_address;

	return open_with(&address, 1, &options);
}

struct zslab_counters count(struct zslab *handle)
{
	struct zslab_counters counters;

	assert_status(handle, zslab_counters(handle, &counters), ZSLAB_OK);
	return counters;
}

void turn(struct zslab *handle)
{
	struct zslab_op *none;

	assert_int_equal(zslab_poll(handle, &none, 1, 0), 0);
	sleep_ms(2);
}

bool is_attached(struct zslab *handle)
{
	struct zslab_node_state now;

	assert_status(handle, zslab_node_state(handle, 0, &now), ZSLAB_OK);
	return now.attached;
}

uint64_t await_attached(struct zslab *handle)
{
	uint64_t began = now_ms();

	while (!is_attached(handle)) {
		struct zslab_node_state now;

		turn(handle);
		if (now_ms() - began > RDMA_PATIENCE_MS) {
			(void)zslab_node_state(handle, 0, &now);
			fail_msg("no return to RDMA: %s", now.problem);
		}
	}
	return now_ms() - began;
}

void load(struct zslab *handle, struct outcome *o)
{
	char text[32];
	uint64_t began = now_ms();
	int status = zslab_increment(handle, "n", 1, 1, NULL);

	o->increments += status == ZSLAB_OK;
	o->unknown += status == ZSLAB_EUNKNOWN;
	o->undone += status == ZSLAB_ETIMEDOUT || status == ZSLAB_EUNREACHABLE;
	if (status && status != ZSLAB_EUNKNOWN && status != ZSLAB_ETIMEDOUT && status != ZSLAB_EUNREACHABLE)
		check_status(handle, status, ZSLAB_OK, __FILE__, __LINE__);
	snprintf(text, sizeof(text), "%" PRIu64, ++o->written);
	if (set_text(handle, "k", text) == ZSLAB_OK)
		o->certain = o->written;
	if (get_text(handle, "k", text, sizeof(text)) == ZSLAB_OK)
		assert_in_range(strtoull(text, NULL, 10), o->certain, o->written);
	if (now_ms() - began > o->longest_ms)
		o->longest_ms = now_ms() - began;
}

void load_for(struct zslab *handle, struct outcome *o, unsigned ms)
{
	for (uint64_t until = now_ms() + ms; now_ms() < until;)
		load(handle, o);
}

void check_outcome(struct zslab *handle, const struct outcome *o)
{
	char text[32];
	uint64_t number;

	assert_status(handle, get_text(handle, "n", text, sizeof(text)), ZSLAB_OK);
	number = strtoull(text, NULL, 10);
	printf("%" PRIu64 " increments done, %" PRIu64 " unknown, %" PRIu64 " surely not: the number is %" PRIu64
	       "; the longest round took %" PRIu64 " ms\n",
	       o->increments, o->unknown, o->undone, number, o->longest_ms);
	assert_in_range(number, o->increments, o->increments + o->unknown);
}
