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
	soft_fault("serial_us", 0);
	soft_fault("arm_ms", 0);
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

/*
 * A link that takes 200 us for each READ, and a node that reuses memory after 20 ms: a read may take half of that, and
 * many at once would take longer. Fewer at a time are read, and still hardly anybody has to be asked.
 */
static void test_many_reads_on_a_slow_link(void **state)
{
	enum { LEARNING = 3, ROUNDS = 5 };
	struct test_node hasty;
	struct zslab *handle;
	uint64_t hits;

	(void)state;
	node_start(&hasty, (const char *const[]){ "--quarantine", "20", NULL });
	handle = open_rdma(&hasty);
	fill(handle);
	fetch_all(handle, submit_gets(handle, 0));
	soft_fault("serial_us", 200);
	for (unsigned i = 0; i < LEARNING; i++)
		fetch_all(handle, submit_gets(handle, 0));
	hits = count(handle).rdma_hits;
	for (unsigned i = 0; i < ROUNDS; i++) {
		fetch_all(handle, submit_gets(handle, 0));
		check_gets();
	}
	assert_in_range(count(handle).rdma_hits - hits, ROUNDS * KEYS * 8 / 10, ROUNDS * KEYS);
	assert_int_equal(count(handle).rdma_detaches, 0);
	zslab_close(handle);
	node_stop(&hasty);
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

/* ---- time that passes between one look and the next ---- */

/*
 * The node's worker took the time, was not run for a while, and then finds a command: it must not find with it what
 * ended meanwhile. The node is asked because the client's own read tells it that the key has ended.
 */
static void test_expired_keys(void **state)
{
	static const char *const settings[] = { "stall_ms=0", "stall_ms=60" };
	struct zslab_op set = {
		.kind = ZSLAB_SET, .key = "k", .key_size = 1, .value = "v", .value_size = 1, .expiry = ZSLAB_PX
	};

	(void)state;
	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
		struct test_node stalled;
		struct zslab *handle;
		char value[8];

		start_faulty(&stalled, settings[i], NULL);
		handle = open_rdma(&stalled);
		for (set.time = 1; set.time <= 20; set.time++) {
			uint64_t asks = count(handle).rdma_asks;

			assert_status(handle, zslab_run(handle, &set), ZSLAB_OK);
			sleep_ms((unsigned)set.time + 1);
			assert_status(handle, get_text(handle, "k", value, sizeof(value)), ZSLAB_ENOTFOUND);
			assert_status(handle, zslab_touch(handle, "k", 1), ZSLAB_ENOTFOUND);
			assert_int_equal(count(handle).rdma_asks, asks + 1);
		}
		zslab_close(handle);
		node_stop(&stalled);
	}
}

/* What comes just before an end goes to sleep is not slept over, until the next heartbeat or round of upkeep. */
static void test_nothing_is_slept_over(void **state)
{
	enum { ROUNDS = 20, EACH_MS = 50 };
	static const char *const options[] = { "--lease", "2000", NULL };
	struct test_node sleepy;
	struct zslab *handle;
	uint64_t began;

	(void)state;
	start_faulty(&sleepy, "arm_ms=20", options);
	handle = open_rdma(&sleepy);
	fill(handle);
	soft_fault("arm_ms", 20);
	began = now_ms();
	for (unsigned i = 0; i < ROUNDS; i++) {
		struct zslab_op op = { .kind = ZSLAB_TOUCH, .key = "key:0", .key_size = 5 };
		struct zslab_op *done;

		sleep_ms(5);
		assert_int_equal(zslab_submit(handle, &op), 0);
		assert_int_equal(zslab_poll(handle, &done, 1, -1), 1);
		assert_status(handle, op.status, ZSLAB_OK);
	}
	assert_in_range(now_ms() - began, 0, ROUNDS * EACH_MS);
	zslab_close(handle);
	node_stop(&sleepy);
}

/*
 * A write is on its way to the node when the session breaks, and is repeated over the socket. Its first copy, which
 * arrives after a later write, is not done any more.
 */
static void test_a_late_write_is_not_done(void **state)
{
	enum { LATE_MS = 200 };
	static const char *const options[] = { "--lease", "2000", "--workers", "2", NULL };
	struct zslab_op set = {
		.kind = ZSLAB_SET, .key = "k", .key_size = 1, .value = "first", .value_size = 5, .timeout_ms = 10000
	};
	struct zslab_op *done = NULL;
	struct test_node slow;
	struct zslab *handle;
	char value[16];
	uint64_t sent;

	(void)state;
	start_faulty(&slow, "late_ms=200", options);
	handle = open_rdma(&slow);
	assert_status(handle, set_text(handle, "k", "none"), ZSLAB_OK);
	sent = soft_value("sends");
	assert_int_equal(zslab_submit(handle, &set), 0);
	assert_int_equal(zslab_poll(handle, &done, 1, 0), 0);
	assert_true(soft_value("sends") > sent);
	soft_fault("fatal", 1);
	assert_status(handle, get_text(handle, "k", value, sizeof(value)), ZSLAB_OK);
	soft_fault("fatal", 0);
	assert_int_equal(count(handle).rdma_detaches, 1);
	while (!done)
		assert_in_range(zslab_poll(handle, &done, 1, -1), 0, 1);
	assert_status(handle, set.status, ZSLAB_OK);
	assert_int_equal(count(handle).repeated, 1);
	assert_status(handle, set_text(handle, "k", "second"), ZSLAB_OK);
	sleep_ms(2 * LATE_MS);
	assert_value(handle, "k", "second");
	zslab_close(handle);
	node_stop(&slow);
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
	/* By RDMA as far as that works: a session may break before it is open. */
	struct zslab_options options = { .via = ZSLAB_VIA_AUTO, .timeout_ms = 10000, .connect_timeout_ms = 10000 };
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
		cmocka_unit_test_teardown(test_many_reads_on_a_slow_link, heal),
		cmocka_unit_test_teardown(test_reads_see_writes_before_them, heal),
		cmocka_unit_test_teardown(test_deadlines_of_reads, heal),
		cmocka_unit_test_teardown(test_expired_keys, heal),
		cmocka_unit_test_teardown(test_nothing_is_slept_over, heal),
		cmocka_unit_test_teardown(test_a_late_write_is_not_done, heal),
		cmocka_unit_test_teardown(test_close_with_reads_under_way, heal),
		cmocka_unit_test_teardown(test_fork, heal),
		cmocka_unit_test_teardown(test_threads, heal),
	};

	if (!soft_load())
		return 1;
	return cmocka_run_group_tests(tests, start, stop);
}
