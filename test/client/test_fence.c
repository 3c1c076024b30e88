/* Connections that break under a write: what the node had got of them is not done later than its repetition. */
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "test/client/support.h"

enum { PIECE_MAX = 4096, PATIENCE_MS = 10000 };

/* What arrives next, at once or soon, as a text; empty: the end, or nothing came. */
static size_t receive(int fd, char *text, size_t size)
{
	struct pollfd wait = { .fd = fd, .events = POLLIN };
	ssize_t n = poll(&wait, 1, PATIENCE_MS) == 1 ? recv(fd, text, size - 1, 0) : 0;

	n = n < 0 ? 0 : n;
	text[n] = 0;
	return (size_t)n;
}

static int accept_client(const struct fake *server)
{
	struct pollfd wait = { .fd = server->listener, .events = POLLIN };

	assert_int_equal(poll(&wait, 1, PATIENCE_MS), 1);
	return accept(server->listener, NULL, NULL);
}

/* ---- a node that is played ---- */

static const char *fence_answer;
static char asked[PIECE_MAX];
static char repeated[PIECE_MAX];

static int greet(const struct fake *server)
{
	char text[PIECE_MAX];
	int fd = accept_client(server);

	receive(fd, text, sizeof(text));
	assert_int_equal(send(fd, fake_hello, strlen(fake_hello), MSG_NOSIGNAL), strlen(fake_hello));
	return fd;
}

/* Hangs up on the first SET, and hears what the next connection has to say. */
static void *play(void *context)
{
	int fd = greet(context);
	char text[PIECE_MAX];

	receive(fd, text, sizeof(text));
	close(fd);
	fd = greet(context);
	receive(fd, asked, sizeof(asked));
	send(fd, fence_answer, strlen(fence_answer), MSG_NOSIGNAL);
	if (fence_answer[0] == '+' && receive(fd, repeated, sizeof(repeated)))
		send(fd, "+OK\r\n", 5, MSG_NOSIGNAL);
	receive(fd, text, sizeof(text)); /* the handle is closed */
	close(fd);
	return NULL;
}

static int set_over_a_broken_connection(const char *answer)
{
	struct zslab_options options = { .timeout_ms = 2000 };
	struct fake server;
	struct zslab *handle;
	const char *address = server.address;
	int status;

	fence_answer = answer;
	asked[0] = repeated[0] = 0;
	fake_listen(&server);
	assert_int_equal(pthread_create(&server.thread, NULL, play, &server), 0);
	handle = open_with(&address, 1, &options);
	status = set_text(handle, "k", "v");
	if (status)
		assert_mentions(zslab_error(handle), "outcome unknown");
	zslab_close(handle);
	pthread_join(server.thread, NULL);
	close(server.listener);
	return status;
}

static void test_a_write_is_repeated_behind_a_fence(void **state)
{
	(void)state;
	assert_int_equal(set_over_a_broken_connection("+OK\r\n"), ZSLAB_OK);
	assert_string_equal(asked, "*2\r\n$8\r\nZS.FENCE\r\n$1\r\n1\r\n");
	assert_string_equal(repeated, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n");
}

static void test_no_fence_no_repetition(void **state)
{
	(void)state;
	assert_int_equal(set_over_a_broken_connection("-ERR unknown command 'ZS.FENCE'\r\n"), ZSLAB_EUNKNOWN);
	assert_string_equal(repeated, "");
}

/* Then nothing is known of the fence either. */
static void test_absurd_answers(void **state)
{
	static const char *const answers[] = { "*2\r\n:1\r\n:1\r\n", ":1\r\n", "$2\r\nOK\r\n", "*0\r\n", "$-1\r\n" };

	(void)state;
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		assert_int_equal(set_over_a_broken_connection(answers[i]), ZSLAB_EUNKNOWN);
		assert_string_equal(asked, "*2\r\n$8\r\nZS.FENCE\r\n$1\r\n1\r\n");
		assert_string_equal(repeated, "");
	}
}

/* ---- a way to a real node that is slow ---- */

struct relay {
	struct fake server;
	struct test_node node;
	int late_fd; /* to the node: of the connection that broke ... */
	char late[PIECE_MAX];
	size_t late_size; /* ... and what is still on the way there */
};

static int connect_node(const struct relay *relay)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_port = htons((uint16_t)relay->node.port),
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static bool pass_on(int from, int to)
{
	char text[PIECE_MAX];
	size_t size = receive(from, text, sizeof(text));

	return size && send(to, text, size, MSG_NOSIGNAL) == (ssize_t)size;
}

/* Lets the first client log in, keeps what it says then and hangs up; passes on all of the second one's. */
static void *run_relay(void *context)
{
	struct relay *relay = context;
	int client = accept_client(&relay->server);
	struct pollfd both[2] = { { .events = POLLIN }, { .events = POLLIN } };
	bool open = true;

	relay->late_fd = connect_node(relay);
	pass_on(client, relay->late_fd);
	pass_on(relay->late_fd, client);
	relay->late_size = receive(client, relay->late, sizeof(relay->late));
	close(client);
	both[0].fd = accept_client(&relay->server);
	both[1].fd = connect_node(relay);
	while (open && poll(both, 2, PATIENCE_MS) > 0) {
		for (unsigned i = 0; i < 2; i++) {
			if (both[i].revents)
				open = open && pass_on(both[i].fd, both[!i].fd);
		}
	}
	close(both[0].fd);
	close(both[1].fd);
	return NULL;
}

static void test_a_late_write_is_not_done(void **state)
{
	struct zslab_options options = { .timeout_ms = PATIENCE_MS };
	struct relay relay = { 0 };
	const char *address = relay.server.address;
	struct zslab_counters counters;
	struct zslab *handle;
	char text[PIECE_MAX];

	(void)state;
	node_start(&relay.node, NULL);
	fake_listen(&relay.server);
	assert_int_equal(pthread_create(&relay.server.thread, NULL, run_relay, &relay), 0);
	handle = open_with(&address, 1, &options);
	assert_status(handle, set_text(handle, "k", "first"), ZSLAB_OK);
	assert_status(handle, set_text(handle, "k", "second"), ZSLAB_OK);
	assert_non_null(strstr(relay.late, "first"));
	/* Now the first copy arrives. The node takes it for nothing: it has hung up. */
	(void)!send(relay.late_fd, relay.late, relay.late_size, MSG_NOSIGNAL);
	assert_int_equal(receive(relay.late_fd, text, sizeof(text)), 0);
	assert_value(handle, "k", "second");
	assert_status(handle, zslab_counters(handle, &counters), ZSLAB_OK);
	assert_int_equal(counters.repeated, 1);
	close(relay.late_fd);
	zslab_close(handle);
	pthread_join(relay.server.thread, NULL);
	close(relay.server.listener);
	node_stop(&relay.node);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_write_is_repeated_behind_a_fence),
		cmocka_unit_test(test_no_fence_no_repetition),
		cmocka_unit_test(test_absurd_answers),
		cmocka_unit_test(test_a_late_write_is_not_done),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
