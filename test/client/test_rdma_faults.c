/*
 * Requests over RDMA that fail in every way a device has for it, at the client's end and at the node's, while
 * operations go on: over soft verbs. Whatever fails, results stay right, the node lives, and RDMA comes back.
 */
#include <stdlib.h>

#include "test/client/rdma_load.h"
#include "test/client/soft_faults.h"

enum { LOAD_MS = 200, LOAD_MAX_MS = 8000 };

/* ---- at the client's end ---- */

struct fault {
	const char *name;
	uint64_t value;	 /* primes, so that each kind of request has its turn */
	unsigned breaks; /* connections that it is given time to break; who gets no answer waits a second for it */
};

/* A read that takes longer than 0.3 ms is not waited for. */
static const struct fault faults[] = {
	{ "drop", 311, 2 },   { "deny", 307, 3 },    { "fatal", 293, 3 }, { "dead", 283, 3 },
	{ "refuse", 281, 3 }, { "delay_us", 50, 0 }, { "tear", 1, 0 },
};

/* Under the fault until it has broken so many sessions. */
static void suffer(struct zslab *handle, const struct fault *fault, struct outcome *o)
{
	struct zslab_counters before = count(handle);
	uint64_t until = now_ms() + LOAD_MAX_MS;

	soft_fault(fault->name, fault->value);
	load_for(handle, o, LOAD_MS);
	while (count(handle).rdma_detaches < before.rdma_detaches + fault->breaks && now_ms() < until)
		load(handle, o);
	soft_fault(fault->name, 0);
	if (fault->breaks)
		assert_true(count(handle).rdma_detaches >= before.rdma_detaches + fault->breaks);
	else
		assert_int_equal(count(handle).rdma_detaches, before.rdma_detaches);
	assert_true(count(handle).rdma_hits > before.rdma_hits);
}

static void test_client(void **state)
{
	struct test_node node;

	(void)state;
	node_start(&node, NULL);
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		struct outcome o = { 0 };
		struct zslab *handle = open_rdma(&node);
		uint64_t hits;

		printf("%s: ", faults[i].name);
		(void)zslab_delete(handle, "n", 1);
		suffer(handle, &faults[i], &o);
		await_attached(handle);
		hits = count(handle).rdma_hits;
		load_for(handle, &o, LOAD_MS / 4);
		assert_true(count(handle).rdma_hits > hits);
		assert_int_equal(o.undone, 0);
		check_outcome(handle, &o);
		zslab_close(handle);
	}
	node_stop(&node);
}

/* ---- at the node's end ---- */

/* They come again and again, and with each the session is lost: so RDMA works for a while, and comes back. */
static void test_node(void **state)
{
	static const char *const settings[] = { "drop=397", "fatal=389", "dead=383", "refuse=379" };

	(void)state;
	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
		struct outcome o = { 0 };
		struct test_node node;
		struct zslab *handle;
		uint64_t until = now_ms() + LOAD_MAX_MS;

		printf("%s: ", settings[i]);
		start_faulty(&node, settings[i], NULL);
		handle = open_rdma(&node);
		while (count(handle).rdma_detaches < 2 && now_ms() < until)
			load(handle, &o);
		assert_true(count(handle).rdma_detaches >= 2);
		assert_true(count(handle).rdma_attaches >= 2);
		assert_int_equal(o.undone, 0);
		check_outcome(handle, &o);
		zslab_close(handle);
		node_stop(&node);
	}
}

/* ---- devices that can do less ---- */

static void test_devices(void **state)
{
	static const char *const settings[] = { "windows=0", "depth=1", "delay_us=100 windows=0" };

	(void)state;
	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
		struct outcome o = { 0 };
		struct test_node node;
		struct zslab *handle;

		printf("%s: ", settings[i]);
		start_faulty(&node, settings[i], NULL);
		handle = open_rdma(&node);
		load_for(handle, &o, LOAD_MS);
		assert_int_equal(o.increments, o.written);
		assert_true(count(handle).rdma_hits > o.written / 2);
		check_outcome(handle, &o);
		zslab_close(handle);
		node_stop(&node);
	}
}

/* A device that answers no READs at a time is of no use: the node says so, and serves by its socket. */
static void test_device_without_reads(void **state)
{
	struct zslab_options options = { .via = ZSLAB_VIA_RDMA };
	struct test_node node;
	struct zslab *handle = NULL;
	const char *address;
	char why[ZSLAB_ERROR_MAX];

	(void)state;
	start_faulty(&node, "depth=0", (const char *const[]){ "--rdma", "auto", NULL });
	address = node.tcp_address;
	assert_int_equal(zslab_open(&handle, &address, 1, &options, why, sizeof(why)), ZSLAB_ETRANSPORT);
	assert_mentions(why, "no RDMA with node");
	handle = open_handle(address, ZSLAB_VIA_AUTO);
	assert_status(handle, set_text(handle, "k", "v"), ZSLAB_OK);
	assert_value(handle, "k", "v");
	zslab_close(handle);
	node_stop(&node);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_client),
		cmocka_unit_test(test_node),
		cmocka_unit_test(test_devices),
		cmocka_unit_test(test_device_without_reads),
	};

	if (!soft_load())
		return 1;
	setvbuf(stdout, NULL, _IOLBF, 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
