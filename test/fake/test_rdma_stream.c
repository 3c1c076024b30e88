/* The stream of an RDMA connection over an adapter that is none: windows, buffers, and peers that break the rules. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "test/fake/rdma_device.h"

enum { WINDOW = 4, PEER_WINDOW = 3, RECEIVES = 8 };

struct seen {
	struct fake_device device;
	uint8_t bytes[64 << 10];
	size_t used;
	unsigned writable;
	unsigned ended;
	char why[256];
	bool pauses; /* at the next message */
};

static struct seen seen;

static void on_ended(void *context, struct zs_rdma_connection *connection, const char *why)
{
	struct seen *s = context;

	(void)connection;
	s->ended++;
	snprintf(s->why, sizeof(s->why), "%s", why);
}

static void on_received(void *context, struct zs_rdma_connection *connection, const uint8_t *data, size_t size)
{
	struct seen *s = context;

	memcpy(s->bytes + s->used, data, size);
	s->used += size;
	if (s->pauses)
		zs_rdma_pause(connection);
}

static void on_writable(void *context, struct zs_rdma_connection *connection)
{
	(void)connection;
	((struct seen *)context)->writable++;
}

static int set_up_with(unsigned sends)
{
	struct zs_rdma_handler handler = {
		.ended = on_ended, .received = on_received, .writable = on_writable, .context = &seen
	};
	struct zs_rdma_options options;

	zs_rdma_options_init(&options);
	options.connections = FAKE_PEERS;
	options.reads = 1;
	options.window = WINDOW;
	options.receives = RECEIVES;
	options.sends = sends;
	memset(&seen, 0, sizeof(seen));
	return fake_open(&seen.device, &options, &handler, PEER_WINDOW) ? 0 : -1;
}

static int set_up(void **state)
{
	(void)state;
	return set_up_with(8);
}

static int set_up_scarce(void **state)
{
	(void)state;
	return set_up_with(1);
}

static int tear_down(void **state)
{
	(void)state;
	fake_close(&seen.device);
	return 0;
}

static struct zs_rdma_connection *first(void)
{
	return seen.device.connections[0];
}

static void arrive(unsigned peer, const char *text, uint32_t credit)
{
	assert_true(fake_arrive(&seen.device, peer, text, (uint32_t)strlen(text), credit, true));
	zs_rdma_take_completions(seen.device.rdma, 100);
}

static void complete_all(void)
{
	const struct fake_request *request;

	while ((request = fake_take(&seen.device)))
		fake_complete(&seen.device, request, IBV_WC_SUCCESS);
	zs_rdma_take_completions(seen.device.rdma, 100);
}

static void bytes_arrive_in_order_and_buffers_are_posted_again(void **state)
{
	(void)state;
	arrive(0, "one ", 0);
	arrive(0, "two", 0);
	assert_int_equal(seen.used, 7);
	assert_memory_equal(seen.bytes, "one two", 7);
	assert_int_equal(seen.device.receive_count, RECEIVES);
}

static void a_window_is_not_exceeded(void **state)
{
	static const uint8_t bytes[5 * ZS_RDMA_MESSAGE_SIZE];

	(void)state;
	assert_int_equal(zs_rdma_send(first(), bytes, sizeof(bytes)), PEER_WINDOW * ZS_RDMA_MESSAGE_SIZE);
	complete_all();
	assert_int_equal(zs_rdma_send(first(), bytes, 1), 0);
	assert_int_equal(seen.device.posted_next, PEER_WINDOW);
}

static void what_the_peer_took_may_be_sent_again(void **state)
{
	static const uint8_t bytes[5 * ZS_RDMA_MESSAGE_SIZE];

	(void)state;
	zs_rdma_send(first(), bytes, sizeof(bytes));
	complete_all();
	seen.writable = 0;
	zs_rdma_send(first(), bytes, sizeof(bytes));
	arrive(0, "", 2);
	assert_int_equal(seen.writable, 1);
	assert_int_equal(zs_rdma_send(first(), bytes, sizeof(bytes)), 2 * ZS_RDMA_MESSAGE_SIZE);
}

static void what_we_took_is_told_with_the_next_message(void **state)
{
	const struct fake_request *request;

	(void)state;
	arrive(0, "x", 0);
	assert_null(fake_take(&seen.device));
	assert_int_equal(zs_rdma_send(first(), "y", 1), 1);
	request = fake_take(&seen.device);
	assert_non_null(request);
	assert_int_equal(request->credit, 1);
	assert_int_equal(request->size, 1);
	assert_int_equal(request->bytes[0], 'y');
}

static void half_a_window_is_told_by_an_empty_message(void **state)
{
	const struct fake_request *request;

	(void)state;
	for (unsigned i = 0; i < WINDOW / 2; i++)
		arrive(0, "x", 0);
	request = fake_take(&seen.device);
	assert_non_null(request);
	assert_int_equal(request->credit, WINDOW / 2);
	assert_int_equal(request->size, 0);
	assert_null(fake_take(&seen.device));
}

static void who_pauses_tells_nothing_until_he_resumes(void **state)
{
	const struct fake_request *request;

	(void)state;
	seen.pauses = true;
	for (unsigned i = 0; i < WINDOW; i++)
		arrive(0, "x", 0);
	assert_null(fake_take(&seen.device));
	zs_rdma_send(first(), "y", 1);
	request = fake_take(&seen.device);
	assert_int_equal(request->credit, 0);
	zs_rdma_resume(first());
	request = fake_take(&seen.device);
	assert_non_null(request);
	assert_int_equal(request->credit, WINDOW);
	assert_int_equal(seen.ended, 0);
}

static void more_messages_than_the_window_break_the_connection(void **state)
{
	(void)state;
	seen.pauses = true;
	for (unsigned i = 0; i < WINDOW; i++)
		arrive(0, "x", 0);
	assert_int_equal(seen.ended, 0);
	arrive(0, "x", 0);
	assert_int_equal(seen.ended, 1);
	assert_string_equal(seen.why, "the peer sends more messages than it may");
	assert_int_equal(seen.used, WINDOW);
	assert_int_equal(seen.device.receive_count, RECEIVES);
}

static void expect_broken(const char *text, uint32_t credit, bool has_credit)
{
	assert_true(fake_arrive(&seen.device, 0, text, (uint32_t)strlen(text), credit, has_credit));
	zs_rdma_take_completions(seen.device.rdma, 100);
	assert_int_equal(seen.ended, 1);
	assert_non_null(strstr(seen.why, "messages which it cannot have"));
	assert_int_equal(seen.device.receive_count, RECEIVES);
}

static void messages_that_were_not_sent_cannot_be_taken(void **state)
{
	(void)state;
	zs_rdma_send(first(), "x", 1);
	expect_broken("y", 2, true);
}

static void an_absurd_number_cannot_be_taken(void **state)
{
	(void)state;
	expect_broken("y", UINT32_MAX, true);
}

static void a_message_says_what_was_taken(void **state)
{
	(void)state;
	expect_broken("y", 0, false);
}

static void an_empty_message_says_something(void **state)
{
	(void)state;
	expect_broken("", 0, true);
}

static void one_buffer_serves_in_turn(void **state)
{
	static const uint8_t bytes[1000];
	struct zs_rdma_connection *second = seen.device.connections[1];

	(void)state;
	first()->inline_max = 0;
	second->inline_max = 0;
	assert_int_equal(zs_rdma_send(first(), bytes, sizeof(bytes)), sizeof(bytes));
	assert_int_equal(zs_rdma_send(second, bytes, sizeof(bytes)), 0);
	assert_int_equal(zs_rdma_send(first(), bytes, sizeof(bytes)), 0);
	assert_int_equal(seen.writable, 0);
	complete_all();
	/* Both were told: who came first did not use it. */
	assert_int_equal(seen.writable, 2);
	assert_int_equal(zs_rdma_send(second, bytes, sizeof(bytes)), sizeof(bytes));
}

static void a_broken_connection_gives_its_buffer_back(void **state)
{
	static const uint8_t bytes[1000];

	(void)state;
	assert_int_equal(zs_rdma_send(first(), bytes, sizeof(bytes)), sizeof(bytes));
	assert_int_equal(zs_rdma_send(seen.device.connections[1], bytes, sizeof(bytes)), 0);
	fake_complete(&seen.device, fake_take(&seen.device), IBV_WC_RETRY_EXC_ERR);
	zs_rdma_take_completions(seen.device.rdma, 100);
	assert_int_equal(seen.ended, 1);
	assert_int_equal(seen.device.destroyed, 1);
	assert_int_equal(seen.writable, 1);
	assert_int_equal(zs_rdma_send(seen.device.connections[1], bytes, sizeof(bytes)), sizeof(bytes));
	assert_int_equal(zs_rdma_send(first(), bytes, 1), 0);
}

static void what_cannot_be_posted_ends_with_the_next_pump(void **state)
{
	(void)state;
	seen.device.refuses = true;
	assert_int_equal(zs_rdma_send(first(), "x", 1), 1);
	assert_int_equal(seen.ended, 0);
	assert_int_equal(seen.device.rdma->next_deadline_ns, 0);
}

static void an_armed_endpoint_is_woken_whatever_was_polled_before(void **state)
{
	(void)state;
	assert_true(zs_rdma_arm(seen.device.rdma));
	assert_false(fake_is_awake(&seen.device));
	/* This one is seen by polling, before anybody looked at the wake-up that it caused. */
	arrive(0, "x", 0);
	assert_int_equal(seen.used, 1);
	assert_true(zs_rdma_arm(seen.device.rdma));
	assert_false(fake_is_awake(&seen.device));
	assert_true(fake_arrive(&seen.device, 0, "y", 1, 0, true));
	assert_true(fake_is_awake(&seen.device));
	assert_false(zs_rdma_arm(seen.device.rdma));
	assert_int_equal(seen.used, 2);
}

static void what_comes_late_is_nobodys(void **state)
{
	const struct fake_request *request;

	(void)state;
	zs_rdma_send(first(), "x", 1);
	request = fake_take(&seen.device);
	zs_rdma_close(first());
	fake_complete(&seen.device, request, IBV_WC_SUCCESS);
	arrive(0, "y", 1);
	assert_int_equal(seen.used, 0);
	assert_int_equal(seen.ended, 0);
	assert_int_equal(seen.device.receive_count, RECEIVES);
	zs_rdma_reap(seen.device.rdma);
	seen.device.connections[0] = NULL;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define SCARCE(name) cmocka_unit_test_setup_teardown(name, set_up_scarce, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(bytes_arrive_in_order_and_buffers_are_posted_again),
		TEST(a_window_is_not_exceeded),
		TEST(what_the_peer_took_may_be_sent_again),
		TEST(what_we_took_is_told_with_the_next_message),
		TEST(half_a_window_is_told_by_an_empty_message),
		TEST(who_pauses_tells_nothing_until_he_resumes),
		TEST(more_messages_than_the_window_break_the_connection),
		TEST(messages_that_were_not_sent_cannot_be_taken),
		TEST(an_absurd_number_cannot_be_taken),
		TEST(a_message_says_what_was_taken),
		TEST(an_empty_message_says_something),
		SCARCE(one_buffer_serves_in_turn),
		SCARCE(a_broken_connection_gives_its_buffer_back),
		TEST(what_cannot_be_posted_ends_with_the_next_pump),
		TEST(an_armed_endpoint_is_woken_whatever_was_polled_before),
		TEST(what_comes_late_is_nobodys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
