/* The asynchronous form: many operations in flight, the descriptor, bounds, two nodes, threads, fork. */
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test/client/support.h"

static struct test_node nodes[2];
static const char *both[2];

static int open_all(void **state)
{
	(void)state;
	node_start(&nodes[0], NULL);
	node_start(&nodes[1], NULL);
	both[0] = nodes[0].tcp_address;
	both[1] = nodes[1].unix_address;
	return 0;
}

static int close_all(void **state)
{
	(void)state;
	node_stop(&nodes[0]);
	node_stop(&nodes[1]);
	return 0;
}

struct many {
	struct zslab_op op;
	char key[24];
};

static void prepare(struct many *one, enum zslab_kind kind, unsigned number)
{
	one->op = (struct zslab_op){ .kind = kind, .key = one->key, .user = one };
	one->op.key_size = (size_t)snprintf(one->key, sizeof(one->key), "many:%u", number);
	one->op.value = one->key;
	one->op.value_size = one->op.key_size;
	one->op.delta = 1;
}

/* Fetches until `count` operations came back; each once, and each well. */
static void fetch_all(struct zslab *handle, size_t count)
{
	while (count) {
		struct zslab_op *done[7];
		int n = zslab_poll(handle, done, 7, -1);

		assert_in_range(n, 1, 7);
		for (int i = 0; i < n; i++) {
			assert_status(handle, done[i]->status, ZSLAB_OK);
			assert_ptr_equal(done[i], done[i]->user);
			done[i]->user = NULL;
		}
		count -= (size_t)n;
	}
}

static void test_many_in_flight(void **state)
{
	enum { COUNT = 5000 };
	struct zslab_options options = { .max_in_flight = COUNT, .timeout_ms = 20000 };
	struct zslab *handle = open_with(both, 2, &options);
	struct many *ops = calloc(COUNT + 1, sizeof(*ops));
	struct zslab_op *none;
	struct zslab_counters counters;

	(void)state;
	for (unsigned i = 0; i < COUNT; i++) {
		prepare(&ops[i], ZSLAB_SET, i);
		assert_int_equal(zslab_submit(handle, &ops[i].op), 0);
	}
	assert_int_equal(zslab_submit(handle, &ops[0].op), ZSLAB_EINVAL); /* in flight already */
	prepare(&ops[COUNT], ZSLAB_SET, COUNT);
	assert_int_equal(zslab_submit(handle, &ops[COUNT].op), ZSLAB_EAGAIN);
	fetch_all(handle, COUNT);
	assert_int_equal(zslab_poll(handle, &none, 1, -1), 0);
	for (unsigned i = 0; i < COUNT; i++)
		assert_value(handle, ops[i].key, ops[i].key);
	assert_int_equal(zslab_counters(handle, &counters), ZSLAB_OK);
	assert_int_equal(counters.repeated, 0);
	zslab_close(handle);
	free(ops);
}

/* Of one handle and one key: done in the order of submission. */
static void test_order(void **state)
{
	enum { COUNT = 500 };
	struct zslab *handle = open_handle(nodes[0].tcp_address, ZSLAB_VIA_AUTO);
	static struct many ops[COUNT];

	(void)state;
	(void)zslab_delete(handle, "counter", 7);
	for (unsigned i = 0; i < COUNT; i++) {
		prepare(&ops[i], ZSLAB_INCREMENT, i);
		ops[i].op.key = "counter";
		ops[i].op.key_size = 7;
		assert_int_equal(zslab_submit(handle, &ops[i].op), 0);
		if (i == COUNT / 2)
			assert_value(handle, "counter", "251"); /* one that waits, in the middle of them */
	}
	fetch_all(handle, COUNT);
	for (unsigned i = 0; i < COUNT; i++)
		assert_int_equal(ops[i].op.number, i + 1);
	zslab_close(handle);
}

/* An event loop that knows nothing but the descriptor. */
static void test_descriptor(void **state)
{
	struct zslab *handle = open_with(both, 2, NULL);
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event = { .events = EPOLLIN };
	static struct many ops[100];
	size_t left = 0;

	(void)state;
	assert_true(zslab_fd(handle) >= 0);
	assert_int_equal(epoll_ctl(epoll, EPOLL_CTL_ADD, zslab_fd(handle), &event), 0);
	for (unsigned i = 0; i < 100; i++) {
		prepare(&ops[i], i % 2 ? ZSLAB_SET : ZSLAB_TOUCH, i | 1);
		assert_int_equal(zslab_submit(handle, &ops[i].op), 0);
		left++;
		/* What completes while somebody waits for something else must make the descriptor readable too. */
		if (i == 50)
			assert_status(handle, zslab_ping(handle, 0), ZSLAB_OK);
	}
	while (left) {
		struct zslab_op *done[100];
		int n;

		assert_int_equal(epoll_wait(epoll, &event, 1, 20000), 1);
		n = zslab_poll(handle, done, 100, 0);
		assert_true(n >= 0);
		left -= (size_t)n;
	}
	close(epoll);
	zslab_close(handle);
}

/* Reads of a mapped node are complete when submit returns; a deadline alone makes the descriptor readable. */
static void test_complete_at_once(void **state)
{
	struct zslab *handle = open_handle(nodes[1].unix_address, ZSLAB_VIA_SHM);
	char buffer[24] = "";
	struct many one;
	struct zslab_op *done;

	(void)state;
	assert_status(handle, set_text(handle, "at once", "yes"), ZSLAB_OK);
	prepare(&one, ZSLAB_GET, 0);
	one.op.key = "at once";
	one.op.key_size = 7;
	one.op.buffer = buffer;
	one.op.buffer_size = sizeof(buffer);
	assert_int_equal(zslab_submit(handle, &one.op), 1);
	assert_status(handle, one.op.status, ZSLAB_OK);
	assert_string_equal(buffer, "yes");
	assert_int_equal(zslab_poll(handle, &done, 1, 0), 0);
	one.op.key = "absent";
	one.op.key_size = 6;
	assert_int_equal(zslab_submit(handle, &one.op), 0);
	assert_int_equal(zslab_poll(handle, &done, 1, -1), 1);
	assert_ptr_equal(done, &one.op);
	assert_int_equal(one.op.status, ZSLAB_ENOTFOUND);
	zslab_close(handle);
}

static void test_multi_get_of_two_nodes(void **state)
{
	enum { KEYS = 300 };
	struct zslab *handle = open_with(both, 2, NULL);
	static struct zslab_item items[KEYS];
	static char keys[KEYS][16];
	static char values[KEYS][16];
	size_t owned[2] = { 0 };
	int64_t dropped = 0;

	(void)state;
	for (int i = 0; i < KEYS; i++) {
		struct zslab_op op = { .kind = ZSLAB_SET, .group = "both", .group_size = 4 };

		op.key_size = op.value_size = (size_t)snprintf(keys[i], sizeof(keys[i]), "two:%d", i);
		op.key = op.value = keys[i];
		assert_status(handle, zslab_run(handle, &op), ZSLAB_OK);
		owned[zslab_node_of(handle, keys[i], op.key_size)]++;
		items[i] = (struct zslab_item){ keys[i], op.key_size, values[i], sizeof(values[i]) - 1, 0, 0, 0 };
	}
	assert_true(owned[0] > KEYS / 4 && owned[1] > KEYS / 4);
	assert_status(handle, zslab_mget(handle, items, KEYS), ZSLAB_OK);
	for (int i = 0; i < KEYS; i++)
		assert_string_equal(values[i], keys[i]);
	/* They really are where they belong: each node alone knows its own. */
	for (int n = 0; n < 2; n++) {
		struct zslab *alone = open_handle(both[n], ZSLAB_VIA_AUTO);
		size_t there = 0;

		assert_status(alone, zslab_mget(alone, items, KEYS), ZSLAB_OK);
		for (int i = 0; i < KEYS; i++)
			there += items[i].status == ZSLAB_OK;
		assert_int_equal(there, owned[n]);
		zslab_close(alone);
	}
	assert_status(handle, zslab_drop(handle, "both", 4, &dropped), ZSLAB_OK);
	assert_int_equal(dropped, KEYS);
	zslab_close(handle);
}

/* Handles are independent: threads with their own ones, and one that is handed from thread to thread. */
struct thread_case {
	struct zslab *handle; /* NULL: its own */
	unsigned number;
	int64_t last;
};

static void *thread_main(void *context)
{
	struct thread_case *c = context;
	struct zslab *handle = c->handle ? c->handle : open_handle(both[c->number % 2], ZSLAB_VIA_AUTO);
	char key[16];
	size_t size = (size_t)snprintf(key, sizeof(key), "thread %u", c->number);

	for (int i = 0; i < 300; i++) {
		char value[24];
		char expected[24];

		assert_status(handle, zslab_increment(handle, key, size, 1, &c->last), ZSLAB_OK);
		snprintf(expected, sizeof(expected), "%lld", (long long)c->last);
		assert_status(handle, get_text(handle, key, value, sizeof(value)), ZSLAB_OK);
		assert_string_equal(value, expected);
	}
	if (!c->handle)
		zslab_close(handle);
	return NULL;
}

static void test_threads(void **state)
{
	struct thread_case cases[4] = { { 0 } };
	pthread_t threads[4];
	struct thread_case handed = { .number = 9 };

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		cases[i].number = i;
		assert_int_equal(pthread_create(&threads[i], NULL, thread_main, &cases[i]), 0);
	}
	for (unsigned i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(cases[i].last, 300);
	}
	handed.handle = open_handle(both[1], ZSLAB_VIA_AUTO);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(pthread_create(&threads[0], NULL, thread_main, &handed), 0);
		pthread_join(threads[0], NULL);
	}
	assert_int_equal(handed.last, 600);
	zslab_close(handed.handle);
}

/* A call within a call is the overlap that can be made without chance. */
struct busy {
	struct zslab *handle;
	int status;
	unsigned calls;
};

static void call_from_log(void *context, const char *sentence)
{
	struct busy *busy = context;
	struct zslab_counters counters;

	assert_mentions(sentence, "node ");
	busy->calls++;
	if (busy->handle)
		busy->status = zslab_counters(busy->handle, &counters);
}

static void test_overlapping_calls_are_refused(void **state)
{
	struct busy busy = { 0 };
	struct zslab_options options = {
		.no_wait = 1, .log = call_from_log, .log_context = &busy, .timeout_ms = 20000
	};
	struct zslab *handle = open_with(both, 1, &options);

	(void)state;
	busy.handle = handle;
	assert_status(handle, zslab_ping(handle, 0), ZSLAB_OK);
	assert_true(busy.calls >= 1);
	assert_int_equal(busy.status, ZSLAB_EBUSY);
	zslab_close(handle);
}

static void test_fork(void **state)
{
	struct zslab *handle = open_handle(nodes[1].unix_address, ZSLAB_VIA_SHM);
	struct zslab_counters counters;
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
	assert_status(handle, zslab_counters(handle, &counters), ZSLAB_OK);
	assert_int_equal(counters.disconnects + counters.detaches, 0);
	assert_int_equal(counters.shm_hits, 1);
	zslab_close(handle);
}

/* What is in flight when a handle is closed is the caller's again. */
static void test_close_with_operations_in_flight(void **state)
{
	static struct many ops[10];

	(void)state;
	for (int round = 0; round < 2; round++) {
		struct zslab *handle = open_with(both, 2, NULL);

		for (unsigned i = 0; i < 10; i++) {
			if (!round)
				prepare(&ops[i], ZSLAB_SET, i);
			assert_int_equal(zslab_submit(handle, &ops[i].op), 0);
		}
		zslab_close(handle);
	}
	zslab_close(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_many_in_flight),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_descriptor),
		cmocka_unit_test(test_complete_at_once),
		cmocka_unit_test(test_multi_get_of_two_nodes),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_overlapping_calls_are_refused),
		cmocka_unit_test(test_fork),
		cmocka_unit_test(test_close_with_operations_in_flight),
	};

	return cmocka_run_group_tests(tests, open_all, close_all);
}
