/*
 * The load client against servers of a few lines, one thread to a connection, that answer correctly, in pieces, or not.
 */
#include "test/unit/bench/cmocka_all.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/driver.h"
#include "bench/load.h"
#include "common/error.h"

#define CONNECTIONS 4

struct server {
	const char *answer; /* to each request */
	size_t piece;	    /* bytes sent at a time */
	unsigned limit;	    /* answers before it closes; 0: never */
	int listener;
	char address[32];
	pthread_t threads[CONNECTIONS];
	atomic_uint requests;
	atomic_bool stop;
};

static void answer(struct server *server, int fd)
{
	size_t size = strlen(server->answer);

	for (size_t sent = 0; sent < size; sent += server->piece) {
		size_t rest = size - sent;

		/* The client may be gone already, where it is meant to fail. */
		if (send(fd, server->answer + sent, rest < server->piece ? rest : server->piece, MSG_NOSIGNAL) < 0)
			return;
	}
}

/* One connection; all threads wait for one, and each takes one. -1 when the server is stopped. */
static int take_connection(struct server *server)
{
	struct pollfd watched = { .fd = server->listener, .events = POLLIN };

	while (!server->stop) {
		int on = 1;
		int fd = poll(&watched, 1, 20) > 0 ? accept(server->listener, NULL, NULL) : -1;

		if (fd >= 0) {
			/* The pieces are to leave at once. */
			setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
			return fd;
		}
	}
	return -1;
}

/* Requests are GETs: five lines each. */
static void *serve(void *context)
{
	struct server *server = context;
	int fd = take_connection(server);
	char buffer[4096];
	unsigned lines = 0;
	ssize_t got;

	if (fd < 0)
		return NULL;
	while ((got = recv(fd, buffer, sizeof(buffer), 0)) > 0) {
		for (ssize_t i = 0; i < got; i++) {
			if (buffer[i] != '\n' || ++lines % 5)
				continue;
			if (server->limit && server->requests >= server->limit)
				goto done;
			server->requests++;
			answer(server, fd);
		}
	}
done:
	close(fd);
	return NULL;
}

static void start(struct server *server)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	socklen_t size = sizeof(address);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	server->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	assert_true(server->listener >= 0);
	assert_int_equal(bind(server->listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(server->listener, CONNECTIONS), 0);
	assert_int_equal(getsockname(server->listener, (struct sockaddr *)&address, &size), 0);
	snprintf(server->address, sizeof(server->address), "127.0.0.1:%u", ntohs(address.sin_port));
	for (unsigned i = 0; i < CONNECTIONS; i++)
		assert_int_equal(pthread_create(&server->threads[i], NULL, serve, server), 0);
}

static void stop(struct server *server)
{
	server->stop = true;
	for (unsigned i = 0; i < CONNECTIONS; i++)
		pthread_join(server->threads[i], NULL);
	close(server->listener);
}

static struct zs_load_result result;

/* Runs GETs against such a server with both kinds of I/O; calls `check` on each result. */
static void run(const char *text, size_t piece, unsigned limit, struct zs_load_options options, int expected,
		void (*check)(const struct server *server))
{
	static const char *const kinds[] = { "epoll", "auto" };

	for (unsigned i = 0; i < 2; i++) {
		struct server server = { .answer = text, .piece = piece, .limit = limit };
		struct zs_requests_options mix = { .keys = 1000, .key_size = 8, .prefix = "", .fanout = 1 };
		struct zs_requests requests;
		char why[128];

		mix.weights[ZS_REQUEST_GET] = 1;
		assert_int_equal(zs_requests_open(&requests, &mix, why, sizeof(why)), ZS_OK);
		start(&server);
		options.server = server.address;
		options.io = kinds[i];
		options.connections = CONNECTIONS;
		assert_int_equal(zs_load_run(&options, &requests, &result), expected);
		stop(&server);
		zs_requests_close(&requests);
		if (check)
			check(&server);
	}
}

static void check_counted(const struct server *server)
{
	assert_int_equal(server->requests, 1001);
	assert_int_equal(result.operations, 1001);
	assert_int_equal(result.replies, 1001);
	assert_int_equal(result.reads, 1001);
	assert_int_equal(result.latency.count, 1001);
	assert_int_equal(result.errors, 0);
}

static void check_hits(const struct server *server)
{
	check_counted(server);
	assert_int_equal(result.hits, 1001);
}

static void check_misses(const struct server *server)
{
	check_counted(server);
	assert_int_equal(result.hits, 0);
}

/* 1001 is no multiple of connections or depth: the last batches are shorter. */
static void test_exact_number(void **state)
{
	(void)state;
	for (unsigned depth = 1; depth <= 64; depth *= 8) {
		struct zs_load_options options = { .depth = depth, .total = 1001, .sleep = true };

		run("$5\r\nhello\r\n", 100, 0, options, 0, check_hits);
		run("$-1\r\n", 100, 0, options, 0, check_misses);
	}
}

static void test_replies_in_pieces(void **state)
{
	struct zs_load_options options = { .depth = 3, .total = 1001, .sleep = true };

	(void)state;
	for (size_t piece = 1; piece < 12; piece++)
		run("$5\r\nhello\r\n", piece, 0, options, 0, check_hits);
}

static void check_errors(const struct server *server)
{
	(void)server;
	assert_int_equal(result.errors, 100);
	assert_string_equal(result.first_error, "ERR no");
}

static void test_errors_are_counted(void **state)
{
	struct zs_load_options options = { .depth = 1, .total = 100, .sleep = true };

	(void)state;
	run("-ERR no\r\n", 100, 0, options, 0, check_errors);
}

static void test_failures(void **state)
{
	struct zs_load_options options = { .depth = 2, .total = 100, .sleep = true };

	(void)state;
	run("$5\r\nhello\r\n", 100, 10, options, -1, NULL); /* closes too early */
	run("hello\r\n", 100, 0, options, -1, NULL);	    /* no RESP */
	run("+OK\r\n+OK\r\n", 100, 0, options, -1, NULL);   /* two replies to a request */
}

static void check_timed(const struct server *server)
{
	assert_true(result.seconds >= 0.2 && result.seconds < 5);
	assert_true(result.operations > 0 && result.operations <= server->requests);
	assert_true(result.busy >= 0 && result.busy <= 1);
}

static void test_for_a_time(void **state)
{
	struct zs_load_options options = { .depth = 4, .warmup = 0.05, .seconds = 0.2, .pool = 1 << 16 };

	(void)state;
	run("$5\r\nhello\r\n", 100, 0, options, 0, check_timed);
	options.sleep = true;
	run("$5\r\nhello\r\n", 100, 0, options, 0, check_timed);
}

/* Open loop: never more than the rate asks for. */
static void check_rate(const struct server *server)
{
	check_timed(server);
	assert_true(server->requests <= (unsigned)(1000 * (result.seconds + 5)));
	assert_true((double)result.operations <= 1000 * (result.seconds + 0.1) + 200);
}

static void test_rate(void **state)
{
	struct zs_load_options options = { .depth = 2, .warmup = 0.1, .seconds = 0.3, .pool = 1 << 16, .rate = 1000 };

	(void)state;
	run("$5\r\nhello\r\n", 100, 0, options, 0, check_rate);
}

static void test_nobody_there(void **state)
{
	struct zs_load_options options = {
		.server = "127.0.0.1:1", .io = "epoll", .connections = 1, .depth = 1, .total = 1
	};
	struct zs_requests_options mix = { .keys = 1, .key_size = 8, .prefix = "" };
	struct zs_requests requests;
	char why[128];

	(void)state;
	mix.weights[ZS_REQUEST_GET] = 1;
	assert_int_equal(zs_requests_open(&requests, &mix, why, sizeof(why)), ZS_OK);
	assert_int_equal(zs_load_run(&options, &requests, &result), -1);
	options.server = "nonsense";
	assert_int_equal(zs_load_run(&options, &requests, &result), -1);
	options.io = "carrier pigeon";
	assert_int_equal(zs_load_run(&options, &requests, &result), -1);
	zs_requests_close(&requests);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exact_number),	   cmocka_unit_test(test_replies_in_pieces),
		cmocka_unit_test(test_errors_are_counted), cmocka_unit_test(test_failures),
		cmocka_unit_test(test_for_a_time),	   cmocka_unit_test(test_rate),
		cmocka_unit_test(test_nobody_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
