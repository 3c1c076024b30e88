/* Nodes that are stopped, killed, restarted, absent, closed to us, or no nodes at all. */
#include <stdlib.h>
#include <unistd.h>

#include "test/client/support.h"

/* ---- frozen and killed ---- */

static void test_deadline_of_a_frozen_node(void **state)
{
	struct zslab_op get = { .kind = ZSLAB_GET, .key = "k", .key_size = 1, .timeout_ms = 150 };
	struct zslab_op set = get;
	struct zslab_op increment = get;
	struct test_node node;
	struct zslab *handle;
	uint64_t began;

	(void)state;
	node_start(&node, NULL);
	handle = open_handle(node.tcp_address, ZSLAB_VIA_AUTO);
	assert_status(handle, set_text(handle, "k", "1"), ZSLAB_OK);
	node_freeze(&node);
	began = now_ms();
	assert_status(handle, zslab_run(handle, &get), ZSLAB_ETIMEDOUT);
	assert_true(now_ms() - began >= 149);
	assert_mentions(zslab_error(handle), node.tcp_address);
	assert_mentions(zslab_error(handle), "did not answer");
	set.kind = ZSLAB_SET;
	set.value = "2";
	set.value_size = 1;
	assert_status(handle, zslab_run(handle, &set), ZSLAB_EUNKNOWN);
	assert_mentions(zslab_error(handle), "outcome unknown");
	increment.kind = ZSLAB_INCREMENT;
	increment.key = "n";
	increment.delta = 1;
	assert_status(handle, zslab_run(handle, &increment), ZSLAB_EUNKNOWN);
	node_thaw(&node);
	/* The late answers are not taken for those to later questions; what was sent is done by now. */
	assert_value(handle, "k", "2");
	assert_value(handle, "n", "1");
	zslab_close(handle);
	node_stop(&node);
}

/* Operations are in the node's socket when it dies: reads and plain writes are repeated, INCR is not. */
static void test_killed_in_flight(void **state)
{
	struct zslab_options options = { .timeout_ms = 20000 };
	struct zslab_op ops[] = {
		{ .kind = ZSLAB_GET, .key = "k", .key_size = 1 },
		{ .kind = ZSLAB_SET, .key = "k", .key_size = 1, .value = "2", .value_size = 1 },
		{ .kind = ZSLAB_DELETE, .key = "d", .key_size = 1 },
		{ .kind = ZSLAB_INCREMENT, .key = "n", .key_size = 1, .delta = 1 },
		{ .kind = ZSLAB_SET,
		  .key = "x",
		  .key_size = 1,
		  .value = "2",
		  .value_size = 1,
		  .flags = ZSLAB_IF_ABSENT },
		{ .kind = ZSLAB_SET, .key = "y", .key_size = 1, .value = "2", .value_size = 1, .flags = ZSLAB_GET_OLD },
		{ .kind = ZSLAB_DROP, .group = "g", .group_size = 1 },
	};
	enum { COUNT = sizeof(ops) / sizeof(ops[0]), KNOWN = 3 };
	struct zslab_op *done[COUNT];
	struct zslab_counters counters;
	struct zslab *handle;
	struct test_node node;
	const char *address;
	char value[16];
	int count = 0;

	(void)state;
	node_start(&node, NULL);
	address = node.tcp_address;
	handle = open_with(&address, 1, &options);
	node_freeze(&node);
	for (unsigned i = 0; i < COUNT; i++)
		assert_int_equal(zslab_submit(handle, &ops[i]), 0);
	assert_int_equal(zslab_poll(handle, done, COUNT, 0), 0); /* sends them all */
	node_kill(&node);
	node_restart(&node);
	while (count < COUNT) {
		int n = zslab_poll(handle, done, COUNT, -1);

		assert_true(n > 0);
		count += n;
	}
	assert_status(handle, ops[0].status, ZSLAB_ENOTFOUND);
	assert_status(handle, ops[1].status, ZSLAB_OK);
	assert_status(handle, ops[2].status, ZSLAB_ENOTFOUND);
	for (unsigned i = KNOWN; i < COUNT; i++) {
		assert_status(handle, ops[i].status, ZSLAB_EUNKNOWN);
		assert_mentions(ops[i].error, "outcome unknown: the connection to node 127.0.0.1");
	}
	assert_value(handle, "k", "2");
	assert_status(handle, get_text(handle, "n", value, sizeof(value)), ZSLAB_ENOTFOUND);
	assert_status(handle, zslab_counters(handle, &counters), ZSLAB_OK);
	assert_int_equal(counters.repeated, KNOWN);
	assert_int_equal(counters.unknown, COUNT - KNOWN);
	zslab_close(handle);
	node_stop(&node);
}

static bool is_disconnected(void *context)
{
	struct zslab_node_state now;
	struct zslab_op *none;

	(void)zslab_poll(context, &none, 1, 0);
	return zslab_node_state(context, 0, &now) == ZSLAB_OK && !now.connected;
}

/* A connection that was closed while it was idle is noticed before anything is sent that could get lost. */
static void test_restarted_while_idle(void **state)
{
	struct zslab *handle;
	struct test_node node;
	int64_t number = 0;

	(void)state;
	node_start(&node, NULL);
	handle = open_handle(node.tcp_address, ZSLAB_VIA_AUTO);
	for (int round = 0; round < 3; round++) {
		assert_status(handle, zslab_increment(handle, "n", 1, 5, &number), ZSLAB_OK);
		assert_int_equal(number, 5);
		node_kill(&node);
		node_restart(&node);
	}
	zslab_close(handle);
	node_stop(&node);
}

/* What waits for a connection is done when there is one again; with a deadline that is over before, it was not. */
static void test_reconnect(void **state)
{
	struct zslab_options options = { .timeout_ms = 20000 };
	struct zslab_op late = { .kind = ZSLAB_INCREMENT, .key = "n", .key_size = 1, .delta = 1, .timeout_ms = 100 };
	struct zslab_op patient = { .kind = ZSLAB_INCREMENT, .key = "n", .key_size = 1, .delta = 10 };
	struct zslab_node_state now;
	struct zslab_op *done;
	struct zslab *handle;
	struct test_node node;
	const char *address;

	(void)state;
	node_start(&node, NULL);
	address = node.tcp_address;
	handle = open_with(&address, 1, &options);
	node_kill(&node);
	assert_true(wait_until(is_disconnected, handle)); /* the kernel closes the sockets of the dead a little later */
	assert_status(handle, zslab_run(handle, &late), ZSLAB_EUNREACHABLE);
	assert_mentions(late.error, "cannot be reached");
	assert_mentions(late.error, "Connection refused");
	assert_int_equal(zslab_node_state(handle, 0, &now), ZSLAB_OK);
	assert_string_equal(now.reads, "none");
	assert_int_equal(zslab_submit(handle, &patient), 0);
	node_restart(&node);
	assert_int_equal(zslab_poll(handle, &done, 1, -1), 1);
	assert_status(handle, patient.status, ZSLAB_OK);
	assert_int_equal(patient.number, 10);
	zslab_close(handle);
	node_stop(&node);
}

/* One of two nodes is gone: the keys of the other one are still served, each key of a multi-get says how it fared. */
static void test_half_of_a_multi_get(void **state)
{
	enum { KEYS = 40 };
	struct zslab_options options = { .timeout_ms = 1500 };
	struct test_node nodes[2];
	const char *addresses[2];
	struct zslab *handle;
	static struct zslab_item items[KEYS];
	static char keys[KEYS][16];
	static char values[KEYS][16];
	unsigned failed = 0;

	(void)state;
	for (int i = 0; i < 2; i++) {
		node_start(&nodes[i], NULL);
		addresses[i] = nodes[i].tcp_address;
	}
	handle = open_with(addresses, 2, &options);
	for (int i = 0; i < KEYS; i++) {
		size_t size = (size_t)snprintf(keys[i], sizeof(keys[i]), "half:%d", i);
		struct zslab_op op = { .kind = ZSLAB_SET, .key = keys[i], .key_size = size, .timeout_ms = 20000 };

		assert_status(handle, zslab_run(handle, &op), ZSLAB_OK);
		items[i] = (struct zslab_item){ keys[i], size, values[i], sizeof(values[i]), 0, 0, 0 };
	}
	node_kill(&nodes[1]);
	assert_status(handle, zslab_mget(handle, items, KEYS), ZSLAB_EUNREACHABLE);
	assert_mentions(zslab_error(handle), nodes[1].tcp_address);
	for (int i = 0; i < KEYS; i++) {
		bool lost = zslab_node_of(handle, keys[i], items[i].key_size) == 1;

		assert_int_equal(items[i].status, lost ? ZSLAB_EUNREACHABLE : ZSLAB_OK);
		failed += lost;
	}
	assert_true(failed > 0 && failed < KEYS);
	zslab_close(handle);
	/* A new handle begins with the node that is left. */
	handle = open_with(addresses, 2, &options);
	assert_status(handle, zslab_ping(handle, 0), ZSLAB_OK);
	assert_status(handle, zslab_ping(handle, 1), ZSLAB_EUNREACHABLE);
	zslab_close(handle);
	node_stop(&nodes[0]);
	node_stop(&nodes[1]);
}

/* ---- opening ---- */

static void check_open(const char *address, const struct zslab_options *options, int expected, const char *mentions)
{
	struct zslab *handle = NULL;
	char why[ZSLAB_ERROR_MAX] = "";
	int status = zslab_open(&handle, &address, 1, options, why, sizeof(why));

	if (status != expected)
		fail_msg("%s instead of %s: %s", zslab_error_name(status), zslab_error_name(expected), why);
	assert_null(handle);
	assert_mentions(why, mentions);
}

static void test_bad_addresses(void **state)
{
	static const struct zslab_options rdma = { .via = ZSLAB_VIA_RDMA };
	static const struct zslab_options shm = { .via = ZSLAB_VIA_SHM };
	static const struct zslab_options spaces = { .client_name = "a b" };
	char why[ZSLAB_ERROR_MAX];
	struct zslab *handle;

	(void)state;
	check_open("127.0.0.1:x", NULL, ZSLAB_EINVAL, "port");
	check_open("", NULL, ZSLAB_EINVAL, "empty");
	check_open("unix:/nowhere/at/all", NULL, ZSLAB_EUNREACHABLE, "No such file");
	check_open("127.0.0.1:1", NULL, ZSLAB_EUNREACHABLE, "Connection refused");
	check_open("127.0.0.1:1", &rdma, ZSLAB_EUNREACHABLE, "Connection refused");
	check_open("unix:/nowhere/at/all", &rdma, ZSLAB_EINVAL, "host:port");
	check_open("127.0.0.1:1", &shm, ZSLAB_EINVAL, "unix:");
	check_open("127.0.0.1:1", &spaces, ZSLAB_EINVAL, "client name");
	assert_int_equal(zslab_open(&handle, NULL, 0, NULL, why, sizeof(why)), ZSLAB_EINVAL);
	assert_int_equal(zslab_open(&handle, NULL, 0, NULL, NULL, 0), ZSLAB_EINVAL);
	assert_null(handle);
}

/* What is demanded and cannot be had is an error that says what is missing; what is not demanded is done without. */
static void test_no_rdma(void **state)
{
	static const struct zslab_options rdma = { .via = ZSLAB_VIA_RDMA };
	static const char *const without[] = { "--rdma", "no", NULL };
	struct zslab_node_state now;
	struct zslab *handle;
	struct test_node node;

	(void)state;
	node_start(&node, without);
	check_open(node.tcp_address, &rdma, ZSLAB_ETRANSPORT, "no RDMA with node");
	check_open(node.tcp_address, &rdma, ZSLAB_ETRANSPORT, "zslabd --rdma");
	handle = open_handle(node.tcp_address, ZSLAB_VIA_AUTO);
	assert_status(handle, set_text(handle, "k", "v"), ZSLAB_OK);
	assert_value(handle, "k", "v");
	assert_status(handle, zslab_node_state(handle, 0, &now), ZSLAB_OK);
	assert_string_equal(now.reads, "tcp");
	assert_string_equal(now.operations, "tcp");
	zslab_close(handle);
	node_stop(&node);
}

static void test_passwords(void **state)
{
	const char *const asks[] = { "--requirepass", "secret", NULL };
	struct zslab_options options = { .password = "secret", .client_name = "tester" };
	struct test_node node;
	struct zslab *handle;
	const char *address;

	(void)state;
	node_start(&node, asks);
	address = node.tcp_address;
	check_open(address, NULL, ZSLAB_EAUTH, "NOAUTH");
	handle = open_with(&address, 1, &options);
	assert_status(handle, set_text(handle, "k", "v"), ZSLAB_OK);
	zslab_close(handle);
	address = node.unix_address;
	options.user = "default";
	options.via = ZSLAB_VIA_SHM;
	handle = open_with(&address, 1, &options);
	assert_value(handle, "k", "v");
	zslab_close(handle);
	options.password = "guess";
	check_open(address, &options, ZSLAB_EAUTH, "WRONGPASS");
	options.password = "secret";
	options.user = "somebody";
	check_open(address, &options, ZSLAB_EAUTH, "WRONGPASS");
	node_stop(&node);
	/* A node that asks for none refuses one: a mistake worth knowing of. */
	node_start(&node, NULL);
	address = node.tcp_address;
	options.user = NULL;
	options.via = ZSLAB_VIA_TCP;
	handle = NULL;
	if (zslab_open(&handle, &address, 1, &options, NULL, 0) == ZSLAB_OK)
		assert_status(handle, zslab_ping(handle, 0), ZSLAB_OK);
	zslab_close(handle);
	node_stop(&node);
}

/* ---- peers that are no nodes ---- */

static void test_peers_that_are_no_nodes(void **state)
{
	static const struct {
		const char *greeting;
		const char *mentions;
	} peers[] = {
		{ "HTTP/1.1 400 Bad Request\r\n\r\n", "no Redis protocol" },
		{ "\x16\x03\x01\x02", "no Redis protocol" },
		{ "$99999999999\r\n", "99999999999 bytes" },
		{ "*99999999\r\n", "99999999 elements" },
		{ "*1000000\r\n*1000000\r\n", "no end" },
		{ "-ERR unknown command 'HELLO'\r\n", "unknown command" },
		{ ":12x\r\n", "12x" },
		{ "%7\r\n+server\r\n", "no Redis protocol" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(peers) / sizeof(peers[0]); i++) {
		const char *const answers[] = { peers[i].greeting, NULL };
		struct fake fake;

		fake_start(&fake, answers, FAKE_KEEPS);
		check_open(fake.address, NULL, ZSLAB_EPROTO, peers[i].mentions);
		fake_stop(&fake);
	}
}

static void test_silent_peer(void **state)
{
	const char *const nothing[] = { NULL };
	const char *const half[] = { "*14\r\n$6\r\nser", NULL };
	struct zslab_options options = { .connect_timeout_ms = 200 };
	struct fake fake;

	(void)state;
	fake_start(&fake, nothing, FAKE_KEEPS);
	check_open(fake.address, &options, ZSLAB_EUNREACHABLE, "does not answer");
	fake_stop(&fake);
	fake_start(&fake, half, FAKE_KEEPS);
	check_open(fake.address, &options, ZSLAB_EUNREACHABLE, "does not answer");
	fake_stop(&fake);
	fake_start(&fake, half, FAKE_CLOSES);
	check_open(fake.address, &options, ZSLAB_EUNREACHABLE, "closed the connection");
	fake_stop(&fake);
}

/* Answers to one operation that no node would give. */
static void check_answer(enum zslab_kind kind, const char *answer, enum fake_end end, int expected,
			 const char *mentions)
{
	const char *const answers[] = { fake_hello, answer, NULL };
	struct zslab_options options = { .timeout_ms = expected == ZSLAB_ETIMEDOUT ? 200 : 20000 };
	struct zslab_item items[2] = { { .key = "a", .key_size = 1 }, { .key = "b", .key_size = 1 } };
	char buffer[8];
	struct zslab_op op = {
		.kind = kind,
		.key = "k",
		.key_size = 1,
		.items = items,
		.item_count = 2,
		.buffer = buffer,
		.buffer_size = sizeof(buffer),
	};
	const char *address;
	struct zslab *handle;
	struct fake fake;

	fake_start(&fake, answers, end);
	address = fake.address;
	handle = open_with(&address, 1, &options);
	assert_status(handle, zslab_run(handle, &op), expected);
	assert_mentions(op.error, fake.address);
	assert_mentions(op.error, mentions);
	zslab_close(handle);
	fake_stop(&fake);
}

static void test_absurd_answers(void **state)
{
	(void)state;
	check_answer(ZSLAB_GET, "garbage\r\n", FAKE_KEEPS, ZSLAB_EPROTO, "no Redis protocol");
	check_answer(ZSLAB_GET, "$1048577\r\n", FAKE_KEEPS, ZSLAB_EPROTO, "1048577 bytes");
	check_answer(ZSLAB_GET, "$9223372036854775807\r\n", FAKE_KEEPS, ZSLAB_EPROTO, "bytes");
	check_answer(ZSLAB_GET, "$-7\r\n", FAKE_KEEPS, ZSLAB_EPROTO, "-7");
	check_answer(ZSLAB_GET, ":1\r\n", FAKE_KEEPS, ZSLAB_EPROTO, "another question");
	check_answer(ZSLAB_GET, "*1\r\n$1\r\nx\r\n", FAKE_KEEPS, ZSLAB_EPROTO, "another question");
	check_answer(ZSLAB_INCREMENT, "$1\r\n1\r\n", FAKE_KEEPS, ZSLAB_EUNKNOWN, "another question");
	check_answer(ZSLAB_MGET, "*1\r\n$1\r\nx\r\n", FAKE_KEEPS, ZSLAB_EPROTO, "another question");
	check_answer(ZSLAB_MGET, "*2\r\n:1\r\n:2\r\n", FAKE_KEEPS, ZSLAB_EPROTO, "another question");
	check_answer(ZSLAB_MGET, "*2\r\n*1\r\n$1\r\nx\r\n", FAKE_KEEPS, ZSLAB_EPROTO, "another question");
	check_answer(ZSLAB_MGET, "*2\r\n$-1\r\n-ERR no\r\n", FAKE_KEEPS, ZSLAB_EPROTO, "another question");
	check_answer(ZSLAB_PING, "-LOADING wait\r\n", FAKE_KEEPS, ZSLAB_ENODE, "LOADING wait");
	check_answer(ZSLAB_GET, "-\r\n", FAKE_KEEPS, ZSLAB_ENODE, "answers");
	/* Half an answer, and then nothing, or the end. */
	check_answer(ZSLAB_GET, "$5\r\nab", FAKE_KEEPS, ZSLAB_ETIMEDOUT, "did not answer");
	check_answer(ZSLAB_MGET, "*2\r\n$1\r\nx\r\n", FAKE_KEEPS, ZSLAB_ETIMEDOUT, "did not answer");
	check_answer(ZSLAB_INCREMENT, ":1", FAKE_CLOSES, ZSLAB_EUNKNOWN, "closed the connection");
}

/* A peer that logs us in and hangs up on every read: it is tried a few times, not for ever. */
static void test_repetition_is_bounded(void **state)
{
	const char *const answers[] = { fake_hello, "$5\r\nab", NULL };
	struct zslab_options options = { .timeout_ms = 20000 };
	const char *address;
	struct zslab *handle;
	struct fake fake;
	char value[8];

	(void)state;
	fake_start(&fake, answers, FAKE_CLOSES);
	address = fake.address;
	handle = open_with(&address, 1, &options);
	assert_status(handle, get_text(handle, "k", value, sizeof(value)), ZSLAB_EUNREACHABLE);
	assert_in_range(__atomic_load_n(&fake.connections, __ATOMIC_RELAXED), 2, 6);
	zslab_close(handle);
	fake_stop(&fake);
}

static void test_replies_that_nobody_asked_for(void **state)
{
	const char *const answers[] = { fake_hello, "+PONG\r\n+PONG\r\n", NULL };
	const char *address;
	struct zslab *handle;
	struct fake fake;
	struct zslab_node_state now;

	(void)state;
	fake_start(&fake, answers, FAKE_KEEPS);
	address = fake.address;
	handle = open_with(&address, 1, NULL);
	assert_status(handle, zslab_ping(handle, 0), ZSLAB_OK);
	assert_int_equal(zslab_node_state(handle, 0, &now), ZSLAB_OK);
	assert_mentions(now.problem, "nobody asked for");
	zslab_close(handle);
	fake_stop(&fake);
}

/* Random bytes after the greeting. The seed of a failure is shown. */
static void test_random_answers(void **state)
{
	static const char *const pieces[] = { "$",	     "*",	    ":",      "+",	 "-",	  "\r\n", "\r",
					      "\n",	     "1",	    "3",      "0",	 "-1",	  "x",	  "abc",
					      "99999999999", "$1\r\nx\r\n", "*2\r\n", "$-1\r\n", ":7\r\n" };
	unsigned seed = (unsigned)now_ms();

	(void)state;
	print_message("seed %u\n", seed);
	for (int round = 0; round < 200; round++) {
		char answer[256] = "";
		size_t used = 0;
		const char *const answers[] = { fake_hello, answer, answer, NULL };
		struct zslab_options options = { .timeout_ms = 15 };
		struct zslab_item items[3] = { { .key = "a" }, { .key = "b" }, { .key = "c" } };
		const char *address;
		struct zslab *handle;
		struct fake fake;

		for (int i = rand_r(&seed) % 12; i >= 0; i--)
			used +=
			    (size_t)snprintf(answer + used, sizeof(answer) - used, "%s",
					     pieces[(unsigned)rand_r(&seed) % (sizeof(pieces) / sizeof(pieces[0]))]);
		fake_start(&fake, answers, round % 2 ? FAKE_KEEPS : FAKE_CLOSES);
		address = fake.address;
		handle = open_with(&address, 1, &options);
		(void)zslab_mget(handle, items, 3);
		(void)zslab_increment(handle, "n", 1, 1, NULL);
		zslab_close(handle);
		fake_stop(&fake);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_deadline_of_a_frozen_node),
		cmocka_unit_test(test_killed_in_flight),
		cmocka_unit_test(test_restarted_while_idle),
		cmocka_unit_test(test_reconnect),
		cmocka_unit_test(test_half_of_a_multi_get),
		cmocka_unit_test(test_bad_addresses),
		cmocka_unit_test(test_no_rdma),
		cmocka_unit_test(test_passwords),
		cmocka_unit_test(test_peers_that_are_no_nodes),
		cmocka_unit_test(test_silent_peer),
		cmocka_unit_test(test_absurd_answers),
		cmocka_unit_test(test_repetition_is_bounded),
		cmocka_unit_test(test_replies_that_nobody_asked_for),
		cmocka_unit_test(test_random_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
