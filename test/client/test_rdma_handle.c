/* Handles whose reads and operations are under way by RDMA when something else happens: over soft verbs. */
#include <poll.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test/client/rdma_load.h"
#include "test/client/soft_faults.h"

enum { KEYS = 200, VALUE = 100 };

static struct test_node node;

struct get {
	struct zslab_op op;
	char key[16];
	uint8_t value[VALUE];
};

static struct get gets[KEYS];
static struct zslab_item items[KEYS];
static uint8_t values[KEYS][VALUE];

static int start(void **state)
{
	(void)state;
	node_start(&node, NULL);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	node_stop(&node);
	return 0;
}

/* Every test begins without faults, whatever became of the last one. */
static int heal(void **state)
{
	(void)state;
	soft_fault("delay_us", 0);
	soft_fault("fatal", 0);
	return 0;
}

static void fill(struct zslab *handle)
{
	uint8_t value[VALUE];

	for (unsigned i = 0; i < KEYS; i++) {
		size_t size = (size_t)snprintf(gets[i].key, sizeof(gets[i].key), "key:%u", i);

		memset(value, (int)i, sizeof(value));
		assert_status(handle, zslab_set(handle, gets[i].key, size, value, sizeof(value), 0), ZSLAB_OK);
	}
}

/* How many of them will be fetched. */
static unsigned submit_gets(struct zslab *handle, unsigned timeout_ms)
{
	unsigned left = 0;

	for (unsigned i = 0; i < KEYS; i++) {
		struct get *get = &gets[i];

		memset(get->value, 0xff, sizeof(get->value));
		get->op = (struct zslab_op){ .kind = ZSLAB_GET,
					     .key = get->key,
					     .key_size = strlen(get->key),
					     .buffer = get->value,
					     .buffer_size = sizeof(get->value),
					     .timeout_ms = timeout_ms };
		switch (zslab_submit(handle, &get->op)) {
		case 0:
			left++;
			break;
		case 1:
			break;
		default:
			fail_msg("%s", get->op.error);
		}
	}
	return left;
}

static void prepare_items(void)
{
	for (unsigned i = 0; i < KEYS; i++)
		items[i] = (struct zslab_item){ gets[i].key, strlen(gets[i].key), values[i], VALUE, 0, 0, 0 };
}

/* Waits as an event loop does, for the descriptor alone. */
static void fetch_all(struct zslab *handle, unsigned left)
{
	struct pollfd wait = { .fd = zslab_fd(handle), .events = POLLIN };
	struct zslab_op *done[16];

	while (left) {
		int n = zslab_poll(handle, done, 16, 0);

		assert_in_range(n, 0, 16);
		left -= (unsigned)n;
		if (left && !n)
			assert_int_equal(poll(&wait, 1, RDMA_PATIENCE_MS), 1);
	}
}

static void check_gets(void)
{
	for (unsigned i = 0; i < KEYS; i++) {
		check_status(NULL, gets[i].op.status, ZSLAB_OK, __FILE__, __LINE__);
		assert_int_equal(gets[i].op.size, VALUE);
		assert_int_equal(gets[i].value[0], i);
		assert_int_equal(gets[i].value[VALUE - 1], i);
	}
}

/* ---- under way together ---- */

static void test_many_reads(void **state)
{
	struct zslab *handle = open_rdma(&node);
	uint64_t hits;

	(void)state;
	fill(handle);
	for (unsigned delay_us = 0; delay_us <= 2000; delay_us += 1000) {
		soft_fault("delay_us", delay_us);
		hits = count(handle).rdma_hits;
		fetch_all(handle, submit_gets(handle, 0));
		check_gets();
		assert_int_equal(count(handle).rdma_hits - hits, KEYS);
	}
	assert_int_equal(count(handle).rdma_detaches, 0);
	zslab_close(handle);
}

/* Reads and writes of one handle and key keep their order, whichever way they take. */
static void test_reads_see_writes_before_them(void **state)
{
	struct zslab *handle = open_rdma(&node);
	char text[16];

	(void)state;
	for (unsigned i = 0; i < 500; i++) {
		soft_fault("delay_us", i % 5 * 50);
		snprintf(text, sizeof(text), "%u", i);
		assert_status(handle, set_text(handle, "order", text), ZSLAB_OK);
		assert_value(handle, "order", text);
	}
	zslab_close(handle);
}

/* ---- deadlines ---- */

/* What is read after its operation has ended lands where it harms nobody, and the session goes on. */
static void test_deadlines_of_reads(void **state)
{
	struct zslab_op mget = { .kind = ZSLAB_MGET, .items = items, .item_count = KEYS, .timeout_ms = 30 };
	struct zslab *handle = open_rdma(&node);
	uint64_t began;

	(void)state;
	fill(handle);
	soft_fault("delay_us", 150000);
	began = now_ms();
	fetch_all(handle, submit_gets(handle, 30));
	assert_in_range(now_ms() - began, 29, 140);
	for (unsigned i = 0; i < KEYS; i++)
		assert_int_equal(gets[i].op.status, ZSLAB_ETIMEDOUT);
	prepare_items();
	assert_status(handle, zslab_run(handle, &mget), ZSLAB_ETIMEDOUT);
	for (unsigned i = 0; i < KEYS; i++) {
		assert_int_equal(items[i].status, ZSLAB_ETIMEDOUT);
		assert_int_equal(gets[i].value[0], 0xff);
	}
	soft_fault("delay_us", 0);
	fetch_all(handle, submit_gets(handle, 0));
	check_gets();
	assert_int_equal(count(handle).rdma_detaches, 0);
	assert_true(is_attached(handle));
	zslab_close(handle);
}

/*
 * The node knows what time it is when a command comes by RDMA, also if it slept or spun until then. The node is asked
 * because the key is not found by reading.
 */
static void test_expired_keys(void **state)
{
	struct zslab *handle = open_rdma(&node);
	char value[8];

	(void)state;
	for (unsigned i = 0; i < 20; i++) {
		struct zslab_op set = { .kind = ZSLAB_SET,
					.key = "short",
					.key_size = 5,
					.value = "v",
					.value_size = 1,
					.expiry = ZSLAB_PX,
					.time = 10 + i };
		uint64_t asks = count(handle).rdma_asks;

		assert_status(handle, zslab_run(handle, &set), ZSLAB_OK);
		for (uint64_t until = now_ms() + (uint64_t)set.time + 2; now_ms() < until;) {
			/* Half of the times the node is kept awake meanwhile. */
			if (i % 2)
				assert_status(handle, zslab_ping(handle, 0), ZSLAB_OK);
			else
				sleep_ms(1);
		}
		assert_status(handle, get_text(handle, "short", value, sizeof(value)), ZSLAB_ENOTFOUND);
		assert_true(count(handle).rdma_asks > asks);
		/* And what it says of a deadline counts from now. */
		assert_status(handle, zslab_touch(handle, "short", 5), ZSLAB_ENOTFOUND);
	}
	zslab_close(handle);
}

/* ---- ends ---- */

static void test_close_with_reads_under_way(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 5; round++) {
		struct zslab *handle = open_rdma(&node);

		fill(handle);
		soft_fault("delay_us", round * 1000);
		(void)submit_gets(handle, 0);
		zslab_close(handle);
		soft_fault("delay_us", 0);
	}
}

static void test_fork(void **state)
{
	struct zslab *handle = open_rdma(&node);
	int status;
	pid_t child;

	(void)state;
	assert_status(handle, set_text(handle, "forked", "yes"), ZSLAB_OK);
	child = fork();
	if (!child) {
		int seen = zslab_ping(handle, 0);

		zslab_close(handle);
		_exit(seen == ZSLAB_EFORK ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_value(handle, "forked", "yes");
	assert_status(handle, zslab_ping(handle, 0), ZSLAB_OK);
	assert_int_equal(count(handle).rdma_detaches, 0);
	assert_int_equal(count(handle).rdma_hits, 1);
	zslab_close(handle);
}

/* ---- threads ---- */

/* cmocka's failures belong to the main thread. */
struct thread {
	pthread_t id;
	unsigned number;
	unsigned done;
	int status; /* the first that was wrong */
};

static void *work(void *context)
{
	struct zslab_options options = { .via = ZSLAB_VIA_RDMA, .timeout_ms = 10000, .connect_timeout_ms = 10000 };
	struct thread *t = context;
	const char *address = node.tcp_address;
	struct zslab *handle = NULL;
	char key[16];
	char text[16];
	char value[16];
	size_t size;

	snprintf(key, sizeof(key), "thread:%u", t->number);
	t->status = zslab_open(&handle, &address, 1, &options, text, sizeof(text));
	for (unsigned i = 0; !t->status && i < 1000; i++) {
		size_t length = (size_t)snprintf(text, sizeof(text), "%u", i);

		t->status = zslab_set(handle, key, strlen(key), text, length, 0);
		if (!t->status)
			t->status = zslab_get_into(handle, key, strlen(key), value, sizeof(value), &size);
		if (!t->status && (size != length || memcmp(value, text, length) != 0))
			t->status = ZSLAB_EPROTO;
		t->done += !t->status;
	}
	zslab_close(handle);
	return NULL;
}

/* Each handle has its own endpoint, but the adapter's events come to any of them. */
static void test_threads(void **state)
{
	struct thread threads[4] = { 0 };

	(void)state;
	soft_fault("fatal", 997);
	for (unsigned i = 0; i < 4; i++) {
		threads[i].number = i;
		assert_int_equal(pthread_create(&threads[i].id, NULL, work, &threads[i]), 0);
	}
	for (unsigned i = 0; i < 4; i++) {
		pthread_join(threads[i].id, NULL);
		check_status(NULL, threads[i].status, ZSLAB_OK, __FILE__, __LINE__);
		assert_int_equal(threads[i].done, 1000);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_many_reads, heal),
		cmocka_unit_test_teardown(test_reads_see_writes_before_them, heal),
		cmocka_unit_test_teardown(test_deadlines_of_reads, heal),
		cmocka_unit_test_teardown(test_expired_keys, heal),
		cmocka_unit_test_teardown(test_close_with_reads_under_way, heal),
		cmocka_unit_test_teardown(test_fork, heal),
		cmocka_unit_test_teardown(test_threads, heal),
	};

	if (!soft_load())
		return 1;
	return cmocka_run_group_tests(tests, start, stop);
}
