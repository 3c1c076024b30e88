/*
 * libzslab over RDMA with a real node: soft-RoCE, where the node is on the other of the guest's hosts (two_hosts.sh),
 * or soft verbs on this machine (rdma_path.h).
 *
 * The device's own counters prove that it carried what is said to go over it. Then the node is frozen, killed, started
 * again, made to end the session; and the path is cut while operations go on. A value that is shown is never older than
 * one whose write was acknowledged before, and an increment is done once, or not, or is said to be unknown.
 */
#include <arpa/inet.h>
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "client/internal.h"
#include "test/client/rdma_load.h"
#include "test/rig/rdma_path.h"

enum {
	LEASE_MS = 1000,
	HOT_KEYS = 100,
	HOT_GETS = 5000,
	PINNED_MAX = 128 << 10,
};

static const char *const node_options[] = { "--lease", "1000", NULL };

/* ---- what is counted elsewhere ---- */

static uint64_t node_counter(struct zslab *handle, const char *name)
{
	char text[32768];
	const char *found;

	assert_status(handle, zslab_stats(handle, 0, NULL, text, sizeof(text), NULL), ZSLAB_OK);
	found = strstr(text, name);
	if (!found)
		fail_msg("INFO does not tell %s", name);
	return found ? strtoull(found + strlen(name) + 1, NULL, 10) : 0;
}

/* Processor time of the node so far. */
static uint64_t node_cpu_ns(const struct test_node *node)
{
	struct timespec t;
	clockid_t clock;

	assert_int_equal(clock_getcpuclockid(node->pid, &clock), 0);
	assert_int_equal(clock_gettime(clock, &t), 0);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* ---- small things ---- */

static struct zslab *open_tcp(const struct test_node *node)
{
	return open_handle(node->tcp_address, ZSLAB_VIA_TCP);
}

static void fill_hot(struct zslab *handle, char keys[HOT_KEYS][24])
{
	uint8_t value[128];

	for (unsigned i = 0; i < HOT_KEYS; i++) {
		snprintf(keys[i], sizeof(keys[i]), "hot:%012u", i);
		memset(value, (int)i, sizeof(value));
		assert_status(handle, zslab_set(handle, keys[i], 16, value, sizeof(value), 0), ZSLAB_OK);
	}
}

static void get_hot(struct zslab *handle, const char *key, unsigned i)
{
	const void *value;
	size_t size;

	assert_status(handle, zslab_get(handle, key, 16, &value, &size), ZSLAB_OK);
	assert_int_equal(size, 128);
	assert_int_equal(((const uint8_t *)value)[127], i);
}

/* ---- what goes over the device ---- */

/* Hot GETs, by the device's and the node's counters. Also what they cost the node, beside the same over TCP. */
static void test_hot_gets_make_no_work_in_the_node(void **state)
{
	char keys[HOT_KEYS][24];
	struct zslab_counters before;
	struct zslab_counters after;
	struct test_node node;
	struct zslab *handle;
	struct zslab *watcher;
	uint64_t packets;
	uint64_t commands;
	uint64_t cpu[3]; /* of GETs over RDMA, of as long a rest, of GETs over TCP */
	uint64_t took;

	(void)state;
	node_start(&node, node_options);
	handle = open_rdma(&node);
	watcher = open_tcp(&node);
	fill_hot(handle, keys);
	for (unsigned i = 0; i < 2 * HOT_KEYS; i++)
		get_hot(handle, keys[i % HOT_KEYS], i % HOT_KEYS);
	before = count(handle);
	commands = node_counter(watcher, "total_commands_processed");
	packets = path_received();
	took = now_ms();
	cpu[0] = node_cpu_ns(&node);
	for (unsigned i = 0; i < HOT_GETS; i++)
		get_hot(handle, keys[i % HOT_KEYS], i % HOT_KEYS);
	cpu[0] = node_cpu_ns(&node) - cpu[0];
	took = now_ms() - took;
	packets = path_received() - packets;
	commands = node_counter(watcher, "total_commands_processed") - commands;
	after = count(handle);
	cpu[1] = node_cpu_ns(&node);
	for (uint64_t until = now_ms() + took; now_ms() < until;)
		turn(handle);
	cpu[1] = node_cpu_ns(&node) - cpu[1];
	cpu[2] = node_cpu_ns(&node);
	for (unsigned i = 0; i < HOT_GETS; i++)
		get_hot(watcher, keys[i % HOT_KEYS], i % HOT_KEYS);
	cpu[2] = node_cpu_ns(&node) - cpu[2];
	printf("%u hot GETs: %" PRIu64 " hits, %" PRIu64 " READs, %" PRIu64 " packets, %" PRIu64
	       " commands in the node\n",
	       HOT_GETS, after.rdma_hits - before.rdma_hits, after.rdma_reads - before.rdma_reads, packets, commands);
	printf("processor time of the node: %.2f ms, at rest %.2f ms, over TCP %.2f ms\n", (double)cpu[0] / 1e6,
	       (double)cpu[1] / 1e6, (double)cpu[2] / 1e6);
	/* A read now and then is slow, and asked; the rest are leases, samples and the watcher's own. */
	assert_in_range(after.rdma_hits - before.rdma_hits, HOT_GETS * 99 / 100, HOT_GETS);
	assert_in_range(commands, 1, HOT_GETS / 100 + 2 + took / 50);
	/* Each READ has an answer. */
	assert_true(packets >= after.rdma_reads - before.rdma_reads);
	assert_true(cpu[0] < cpu[1] + cpu[2] / 10);
	zslab_close(watcher);
	zslab_close(handle);
	node_stop(&node);
}

static void test_operations_go_over_the_device(void **state)
{
	enum { OPERATIONS = 500 };
	struct test_node node;
	struct zslab *handle;
	struct zslab_node_state now;
	uint64_t packets;
	int64_t number = 0;

	(void)state;
	node_start(&node, node_options);
	handle = open_rdma(&node);
	assert_status(handle, zslab_node_state(handle, 0, &now), ZSLAB_OK);
	assert_string_equal(now.operations, "rdma");
	packets = path_received();
	for (unsigned i = 0; i < OPERATIONS; i++)
		assert_status(handle, zslab_increment(handle, "n", 1, 1, &number), ZSLAB_OK);
	assert_int_equal(number, OPERATIONS);
	/* Each answer is a message. */
	assert_true(path_received() - packets >= OPERATIONS);
	zslab_close(handle);
	node_stop(&node);
}

/* All of a multi-get's READs are under way together, in one small pool. */
static void test_multi_get_and_pinned_memory(void **state)
{
	static uint8_t values[HOT_KEYS][128];
	struct zslab_item items[HOT_KEYS];
	char keys[HOT_KEYS][24];
	struct zslab_counters before;
	struct zslab_counters after;
	struct test_node node;
	struct zslab *handle;
	uint64_t pinned;

	(void)state;
	node_start(&node, node_options);
	handle = open_rdma(&node);
	fill_hot(handle, keys);
	for (unsigned round = 0; round < 50; round++) {
		before = count(handle);
		for (unsigned i = 0; i < HOT_KEYS; i++)
			items[i] = (struct zslab_item){ keys[i], 16, values[i], sizeof(values[i]), 0, 0, 0 };
		assert_status(handle, zslab_mget(handle, items, HOT_KEYS), ZSLAB_OK);
		for (unsigned i = 0; i < HOT_KEYS; i++) {
			assert_int_equal(items[i].status, ZSLAB_OK);
			assert_int_equal(values[i][0], i);
		}
		after = count(handle);
	}
	assert_int_equal(after.rdma_hits - before.rdma_hits, HOT_KEYS);
	assert_int_equal(after.requests, before.requests);
	/* Header and slot, and nothing twice: so one round trip. */
	assert_in_range(after.rdma_reads - before.rdma_reads, HOT_KEYS, 2 * HOT_KEYS);
	pinned = zs_rdma_pinned(handle->adapter.rdma);
	printf("%u keys with %" PRIu64 " READs; %" PRIu64 " bytes are pinned\n", HOT_KEYS,
	       after.rdma_reads - before.rdma_reads, pinned);
	assert_in_range(pinned, 1, PINNED_MAX);
	zslab_close(handle);
	node_stop(&node);
}

/* ---- ends of belief ---- */

/* Its memory can still be read, for all the device knows. It is not believed longer than the lease. */
static void test_frozen_node(void **state)
{
	struct zslab_op get = { .kind = ZSLAB_GET, .key = "k", .key_size = 1, .timeout_ms = 100 };
	struct test_node node;
	struct zslab *handle;
	char value[8];
	uint64_t frozen;
	uint64_t believed = 0;
	unsigned hits = 0;

	(void)state;
	node_start(&node, node_options);
	handle = open_rdma(&node);
	assert_status(handle, set_text(handle, "k", "v"), ZSLAB_OK);
	assert_value(handle, "k", "v");
	get.buffer = value;
	get.buffer_size = sizeof(value);
	node_freeze(&node);
	frozen = now_ms();
	while (now_ms() - frozen < 2 * LEASE_MS) {
		int status = zslab_run(handle, &get);

		if (status == ZSLAB_OK) {
			believed = now_ms();
			hits++;
		} else if (status != ZSLAB_ETIMEDOUT && status != ZSLAB_EUNREACHABLE) {
			check_status(handle, status, ZSLAB_ETIMEDOUT, __FILE__, __LINE__);
		}
	}
	printf("a frozen node was believed for %" PRIu64 " ms, in %u reads\n", believed - frozen, hits);
	assert_true(hits > 10 && believed - frozen <= LEASE_MS);
	assert_false(is_attached(handle));
	node_thaw(&node);
	printf("attached again after %" PRIu64 " ms\n", await_attached(handle));
	assert_value(handle, "k", "v");
	zslab_close(handle);
	node_stop(&node);
}

/* Readers that go on while the node ends; what is acknowledged afterwards is what they see. */
static void test_killed_and_started_again(void **state)
{
	struct test_node node;
	struct zslab *reader;
	struct zslab *writer;
	char value[32];
	char expected[32];

	(void)state;
	node_start(&node, node_options);
	reader = open_rdma(&node);
	writer = open_tcp(&node);
	for (unsigned life = 0; life < 3; life++) {
		snprintf(expected, sizeof(expected), "life %u", life);
		assert_status(writer, set_text(writer, "k", expected), ZSLAB_OK);
		await_attached(reader);
		for (unsigned i = 0; i < 500; i++)
			assert_value(reader, "k", expected);
		node_kill(&node);
		node_restart(&node);
		assert_status(writer, set_text(writer, "k", "new"), ZSLAB_OK);
		assert_value(reader, "k", "new");
		assert_status(writer, zslab_delete(writer, "k", 1), ZSLAB_OK);
		assert_status(reader, get_text(reader, "k", value, sizeof(value)), ZSLAB_ENOTFOUND);
	}
	assert_true(count(reader).rdma_attaches >= 3);
	zslab_close(writer);
	zslab_close(reader);
	node_stop(&node);
}

/* Tells the node something, over a connection of its own. */
static void tell(const struct test_node *node, const char *command)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)node->port) };
	char answer[256];
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_true(fd >= 0);
	assert_int_equal(inet_pton(AF_INET, node->host, &address.sin_addr), 1);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(write(fd, command, strlen(command)), strlen(command));
	assert_true(read(fd, answer, sizeof(answer)) > 0);
	assert_int_not_equal(answer[0], '-');
	close(fd);
}

static void test_killed_session(void **state)
{
	struct test_node node;
	struct zslab *reader;
	struct zslab *writer;
	char expected[32];
	uint64_t attaches = 0;

	(void)state;
	node_start(&node, node_options);
	reader = open_rdma(&node);
	writer = open_tcp(&node);
	for (unsigned i = 0; i < 5; i++) {
		snprintf(expected, sizeof(expected), "before %u", i);
		assert_status(writer, set_text(writer, "k", expected), ZSLAB_OK);
		assert_value(reader, "k", expected);
		attaches = count(reader).rdma_attaches;
		tell(&node, "CLIENT KILL TYPE normal\r\n");
		snprintf(expected, sizeof(expected), "after %u", i);
		assert_status(writer, set_text(writer, "k", expected), ZSLAB_OK);
		/* The key may still lie where the session could read it: what is shown is the present value. */
		assert_value(reader, "k", expected);
		while (count(reader).rdma_attaches == attaches)
			turn(reader);
	}
	assert_int_equal(count(reader).rdma_detaches, 5);
	zslab_close(writer);
	zslab_close(reader);
	node_stop(&node);
}

/* ---- a path that is cut ---- */

static void test_rdma_is_cut_and_healed(void **state)
{
	struct outcome o = { 0 };
	struct zslab_counters before;
	struct test_node node;
	struct zslab *handle;
	uint64_t during;

	(void)state;
	node_start(&node, node_options);
	handle = open_rdma(&node);
	load_for(handle, &o, 1000);
	for (unsigned i = 0; i < 3; i++) {
		before = count(handle);
		path_cut_rdma();
		during = o.increments;
		load_for(handle, &o, path_patience());
		assert_true(o.increments - during > 20); /* over TCP, as soon as it was noticed */
		assert_false(is_attached(handle));
		path_heal_rdma();
		during = now_ms();
		while (!is_attached(handle) && now_ms() - during < RDMA_PATIENCE_MS)
			load(handle, &o);
		assert_true(is_attached(handle));
		printf("back on RDMA %" PRIu64 " ms after the path was healed\n", now_ms() - during);
		load_for(handle, &o, 500);
		assert_int_equal(count(handle).rdma_detaches, before.rdma_detaches + 1);
	}
	assert_int_equal(o.undone, 0);
	check_outcome(handle, &o);
	assert_int_equal(count(handle).disconnects, 0); /* of the socket */
	zslab_close(handle);
	node_stop(&node);
}

/* Operations with a deadline of their own, while nothing at all goes through for a while. */
static void test_all_is_cut_and_healed(void **state)
{
	struct zslab_options options = { .via = ZSLAB_VIA_RDMA, .timeout_ms = 300, .connect_timeout_ms = 2000 };
	struct outcome o = { 0 };
	struct test_node node;
	struct zslab *handle;
	const char *address;

	(void)state;
	if (!path_can_cut_all())
		skip();
	node_start(&node, node_options);
	address = node.tcp_address;
	handle = open_with(&address, 1, &options);
	load_for(handle, &o, 500);
	for (unsigned i = 0; i < 2; i++) {
		path_cut_all();
		load_for(handle, &o, 3000);
		path_heal_all();
		for (uint64_t until = now_ms() + RDMA_PATIENCE_MS; now_ms() < until && !is_attached(handle);)
			load(handle, &o);
		assert_true(is_attached(handle));
		load_for(handle, &o, 500);
	}
	assert_in_range(o.longest_ms, 300, 1500);
	assert_true(o.unknown > 0);
	check_outcome(handle, &o);
	zslab_close(handle);
	node_stop(&node);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hot_gets_make_no_work_in_the_node),
		cmocka_unit_test(test_operations_go_over_the_device),
		cmocka_unit_test(test_multi_get_and_pinned_memory),
		cmocka_unit_test(test_frozen_node),
		cmocka_unit_test(test_killed_and_started_again),
		cmocka_unit_test(test_killed_session),
		cmocka_unit_test(test_rdma_is_cut_and_healed),
		cmocka_unit_test(test_all_is_cut_and_healed),
	};

	if (!path_prepare())
		return 1;
	setvbuf(stdout, NULL, _IOLBF, 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
