/* Reads over shared memory: what is believed and what not, refusals, sessions that are lost and come back. */
#include <stdlib.h>
#include <unistd.h>

#include "test/client/support.h"

static struct zslab_counters count(struct zslab *handle)
{
	struct zslab_counters counters;

	assert_status(handle, zslab_counters(handle, &counters), ZSLAB_OK);
	return counters;
}

static bool is_attached(void *context)
{
	struct zslab_node_state now;
	struct zslab_op *none;

	(void)zslab_poll(context, &none, 1, 0);
	return zslab_node_state(context, 0, &now) == ZSLAB_OK && now.attached;
}

/* Every acknowledged write is seen by the next read of another process' mapping. */
static void test_reads_see_acknowledged_writes(void **state)
{
	struct test_node node;
	struct zslab *writer;
	struct zslab *reader;

	(void)state;
	node_start(&node, NULL);
	writer = open_handle(node.tcp_address, ZSLAB_VIA_TCP);
	reader = open_handle(node.unix_address, ZSLAB_VIA_SHM);
	for (int i = 0; i < 2000; i++) {
		char key[16];
		char value[24];

		snprintf(key, sizeof(key), "key %d", i % 7);
		snprintf(value, sizeof(value), "value %d", i);
		assert_status(writer, set_text(writer, key, value), ZSLAB_OK);
		assert_value(reader, key, value);
		if (i % 5 == 0) {
			assert_status(writer, zslab_delete(writer, key, strlen(key)), ZSLAB_OK);
			assert_status(reader, get_text(reader, key, value, sizeof(value)), ZSLAB_ENOTFOUND);
		}
	}
	assert_true(count(reader).shm_hits >= 1900);
	zslab_close(writer);
	zslab_close(reader);
	node_stop(&node);
}

static void test_refused(void **state)
{
	const char *const off[] = { "--shared-memory", "no", NULL };
	struct zslab_options options = { .via = ZSLAB_VIA_SHM };
	struct zslab_node_state now;
	struct zslab *handle = NULL;
	struct test_node node;
	const char *address;
	char why[ZSLAB_ERROR_MAX];

	(void)state;
	node_start(&node, off);
	address = node.unix_address;
	assert_int_equal(zslab_open(&handle, &address, 1, &options, why, sizeof(why)), ZSLAB_ETRANSPORT);
	assert_null(handle);
	assert_mentions(why, "shared memory is turned off");
	handle = open_handle(address, ZSLAB_VIA_AUTO);
	assert_status(handle, set_text(handle, "k", "v"), ZSLAB_OK);
	assert_value(handle, "k", "v");
	assert_status(handle, zslab_node_state(handle, 0, &now), ZSLAB_OK);
	assert_string_equal(now.reads, "unix");
	assert_mentions(now.problem, "turned off");
	assert_int_equal(count(handle).shm_hits, 0);
	zslab_close(handle);
	node_stop(&node);
}

/* A frozen node is believed until its lease is over, then no more, and again when it is back. */
static void test_frozen(void **state)
{
	const char *const short_lease[] = { "--lease", "500", NULL };
	char value[16];
	struct zslab_op get = { .kind = ZSLAB_GET,
				.key = "k",
				.key_size = 1,
				.timeout_ms = 200,
				.buffer = value,
				.buffer_size = sizeof(value) };
	struct zslab *handle;
	struct test_node node;
	uint64_t stopped;
	uint64_t began;
	int status;

	(void)state;
	node_start(&node, short_lease);
	handle = open_handle(node.unix_address, ZSLAB_VIA_SHM);
	assert_status(handle, set_text(handle, "k", "v"), ZSLAB_OK);
	assert_value(handle, "k", "v");
	node_freeze(&node);
	stopped = now_ms();
	do {
		began = now_ms();
		status = zslab_run(handle, &get);
		if (status == ZSLAB_OK && began - stopped > 500)
			fail_msg("a read is believed that began %d ms after the node was stopped",
				 (int)(began - stopped));
	} while (status == ZSLAB_OK);
	assert_status(handle, status, ZSLAB_ETIMEDOUT);
	assert_int_equal(count(handle).detaches, 1);
	node_thaw(&node);
	assert_true(wait_until(is_attached, handle));
	assert_value(handle, "k", "v");
	assert_int_equal(count(handle).attaches, 2);
	zslab_close(handle);
	node_stop(&node);
}

/* The memory of a node that is gone is still mapped, but what is in it is history. */
static void test_restarted(void **state)
{
	const char *const short_lease[] = { "--lease", "500", NULL };
	struct zslab_options options = { .via = ZSLAB_VIA_SHM, .timeout_ms = 20000 };
	struct zslab *reader;
	struct zslab *writer;
	struct test_node node;
	const char *address;

	(void)state;
	node_start(&node, short_lease);
	address = node.unix_address;
	reader = open_with(&address, 1, &options);
	for (int round = 0; round < 2; round++) {
		char value[16];

		writer = open_handle(node.tcp_address, ZSLAB_VIA_TCP);
		assert_status(writer, set_text(writer, "k", "old"), ZSLAB_OK);
		assert_true(wait_until(is_attached, reader));
		assert_value(reader, "k", "old");
		node_kill(&node);
		node_restart(&node);
		assert_status(writer, set_text(writer, "k", "new"), ZSLAB_OK);
		for (int i = 0; i < 100; i++)
			assert_value(reader, "k", "new");
		assert_status(writer, zslab_delete(writer, "k", 1), ZSLAB_OK);
		assert_status(reader, get_text(reader, "k", value, sizeof(value)), ZSLAB_ENOTFOUND);
		zslab_close(writer);
	}
	zslab_close(reader);
	node_stop(&node);
}

/* Reads that the node does not see are told to it, by samples. */
static void test_feedback(void **state)
{
	static char text[65536];
	struct zslab *handle;
	struct test_node node;
	const char *line;

	(void)state;
	node_start(&node, NULL);
	handle = open_handle(node.unix_address, ZSLAB_VIA_SHM);
	assert_status(handle, set_text(handle, "k", "v"), ZSLAB_OK);
	for (int i = 0; i < 3000; i++) {
		assert_value(handle, "k", "v");
		if (i % 1000 == 0)
			sleep_ms(110);
	}
	assert_in_range(count(handle).feedback, 2, 20);
	assert_status(handle, zslab_stats(handle, 0, "commandstats", text, sizeof(text), NULL), ZSLAB_OK);
	line = strstr(text, "cmdstat_zs.touched:calls=");
	if (!line)
		fail_msg("the node has not seen ZS.TOUCHED: %s", text);
	assert_int_equal(atoi(strchr(line, '=') + 1), count(handle).feedback);
	assert_mentions(line, "failed_calls=0");
	zslab_close(handle);
	node_stop(&node);
}

/* Growing index, eviction and expiry under the reader: what it finds is what was written, in this process or another.
 */
static void test_reads_while_all_is_moving(void **state)
{
	const char *const small[] = { "--memory", "16mb", NULL };
	struct zslab_op sets[64];
	static char keys[64][16];
	static char values[64][400];
	struct zslab *writer;
	struct zslab *reader;
	struct test_node node;
	unsigned wrong = 0;
	unsigned found = 0;

	(void)state;
	node_start(&node, small);
	writer = open_handle(node.tcp_address, ZSLAB_VIA_TCP);
	reader = open_handle(node.unix_address, ZSLAB_VIA_SHM);
	for (unsigned batch = 0; batch < 1500; batch++) {
		unsigned left = 0;

		for (unsigned i = 0; i < 64; i++, left++) {
			unsigned number = batch * 64 + i;
			size_t size = 20 + number * 37 % 370;

			memset(values[i], 'a' + (int)(number % 26), size);
			sets[i] = (struct zslab_op){ .kind = ZSLAB_SET, .key = keys[i], .value = values[i] };
			sets[i].key_size = (size_t)snprintf(keys[i], sizeof(keys[i]), "m%u", number);
			sets[i].value_size = size;
			sets[i].expiry = number % 3 ? ZSLAB_NO_EXPIRY : ZSLAB_PX;
			sets[i].time = number % 3 ? 0 : 50 + number % 500;
			assert_int_equal(zslab_submit(writer, &sets[i]), 0);
		}
		while (left) {
			struct zslab_op *done[64];
			char key[16];
			char value[400];
			unsigned number = batch * 64 - (batch * 31 % 200) * 16;
			size_t size;
			int n = zslab_poll(writer, done, 64, 0);

			assert_true(n >= 0);
			left -= (unsigned)n;
			if (number > batch * 64)
				continue;
			size = (size_t)snprintf(key, sizeof(key), "m%u", number);
			if (zslab_get_into(reader, key, size, value, sizeof(value), &size) != ZSLAB_OK)
				continue;
			found++;
			wrong += size != 20 + number * 37 % 370;
			for (size_t i = 0; i < size; i++)
				wrong += value[i] != 'a' + (int)(number % 26);
		}
	}
	assert_int_equal(wrong, 0);
	assert_true(found > 1000);
	assert_true(count(reader).shm_hits > 1000);
	zslab_close(reader);
	zslab_close(writer);
	node_stop(&node);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reads_see_acknowledged_writes),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_frozen),
		cmocka_unit_test(test_restarted),
		cmocka_unit_test(test_feedback),
		cmocka_unit_test(test_reads_while_all_is_moving),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
