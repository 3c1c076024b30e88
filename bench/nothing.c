/*
 * bench-nothing: a server that looks nothing up. It counts line ends, and for each request that they amount
 * to it sends constant bytes: the rate that the kernel's sockets allow on this machine, whatever a server
 * does with a request.
 *
 * How many lines make a request, and what to answer, is learned from the first line of each connection: "*2"
 * (GET) has five lines and is answered with a bulk string, anything longer (SET) with +OK. So a connection
 * must send requests of one shape only, and their values must contain no line ends.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/driver.h"
#include "bench/net.h"
#include "bench/flags.h"

#define CONNECTIONS 1024
/* The shortest request that is counted is "*1", "$n" and a word. */
#define ANSWERS (ZS_DRIVER_CHUNK / 8)
#define ACCEPT_EVERY 1024
#define SLEEP_MS 20
/* Having slept for nearly all of that, nothing was going on. */
#define SLEEP_NS 18000000u

struct connection {
	int fd; /* -1: free */
	unsigned lines_per_request;
	unsigned lines; /* of the unfinished request */
	const struct answers *answers;
	size_t owed; /* answers not yet sent */
	bool sending;
};

/* One answer, many times over. */
struct answers {
	char *data;
	size_t size; /* of one */
};

struct server {
	struct zs_driver *driver;
	struct connection connections[CONNECTIONS];
	struct answers bulk;
	struct answers ok;
};

static uint64_t port = 7380;
static uint64_t value_size = 128;
static const char *io = "auto";

static const struct zs_flag flags[] = {
	{ "port", ZS_FLAG_NUMBER, &port, 1, 65535, "PORT", "to listen on, on 127.0.0.1" },
	{ "value-size", ZS_FLAG_NUMBER, &value_size, 0, 4096, "BYTES", "of the bulk string that answers a GET" },
	{ "io", ZS_FLAG_TEXT, &io, 0, 0, "NAME", "auto, epoll or io_uring" },
};

static const struct zs_program program = {
	"bench-nothing",
	"A server that does nothing: it answers each RESP request with constant bytes. Its rate is the ceiling "
	"for any\n"
	"server on this machine. It serves until SIGTERM or SIGINT.",
	flags,
	sizeof(flags) / sizeof(flags[0]),
};

static volatile sig_atomic_t stopping;

static void on_signal(int number)
{
	(void)number;
	stopping = 1;
}

static bool make_answers(struct answers *answers, const char *one, size_t size)
{
	answers->size = size;
	answers->data = malloc(size * ANSWERS);
	for (size_t i = 0; answers->data && i < ANSWERS; i++)
		memcpy(answers->data + i * size, one, size);
	return answers->data;
}

static bool make_bulk(struct answers *answers)
{
	char one[4096 + 32];
	int header = snprintf(one, sizeof(one), "$%" PRIu64 "\r\n", value_size);
	size_t size = (size_t)header + value_size;

	memset(one + header, 'x', value_size);
	one[size++] = '\r';
	one[size++] = '\n';
	return make_answers(answers, one, size);
}

static size_t count_lines(const char *data, size_t size)
{
	size_t lines = 0;

	for (size_t i = 0; i < size; i++)
		lines += data[i] == '\n';
	return lines;
}

static void learn(struct server *server, struct connection *connection, const char *data, size_t size)
{
	unsigned words = 1;

	if (size > 1 && *data == '*')
		words = (unsigned)strtoul(data + 1, NULL, 10);
	if (words < 1 || words > 1024)
		words = 1;
	connection->lines_per_request = 1 + 2 * words;
	connection->answers = words > 2 ? &server->ok : &server->bulk;
}

static void pay(struct server *server, unsigned index)
{
	struct connection *connection = &server->connections[index];

	while (connection->owed && !connection->sending) {
		size_t count = connection->owed < ANSWERS ? connection->owed : ANSWERS;

		connection->owed -= count;
		connection->sending = !zs_driver_send(server->driver, index, connection->answers->data,
						      count * connection->answers->size);
	}
}

static void on_data(void *context, unsigned index, const char *data, size_t size)
{
	struct server *server = context;
	struct connection *connection = &server->connections[index];
	size_t lines;

	if (!connection->lines_per_request)
		learn(server, connection, data, size);
	lines = connection->lines + count_lines(data, size);
	connection->owed += lines / connection->lines_per_request;
	connection->lines = (unsigned)(lines % connection->lines_per_request);
	pay(server, index);
}

static void on_sent(void *context, unsigned index)
{
	struct server *server = context;

	server->connections[index].sending = false;
	pay(server, index);
}

static void on_closed(void *context, unsigned index, int error)
{
	struct server *server = context;

	(void)error;
	close(server->connections[index].fd);
	server->connections[index].fd = -1;
}

static void accept_pending(struct server *server, int listener)
{
	for (unsigned i = 0; i < CONNECTIONS; i++) {
		int fd;

		if (server->connections[i].fd >= 0)
			continue;
		fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0)
			return;
		server->connections[i] = (struct connection){ .fd = fd };
		if (zs_driver_add(server->driver, fd, i)) {
			close(fd);
			server->connections[i].fd = -1;
		}
	}
}

static int listen_on(uint16_t number)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(number) };
	int on = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (!bind(fd, (struct sockaddr *)&address, sizeof(address)) && !listen(fd, 512))
		return fd;
	close(fd);
	return -1;
}

/* The listener is not in the driver: it is looked at now and then, which costs the measured path nothing. */
static int serve(struct server *server, int listener)
{
	for (unsigned round = 0; !stopping; round++) {
		uint64_t before = zs_net_now();
		int error = zs_driver_wait(server->driver, SLEEP_MS);

		if (error) {
			fprintf(stderr, "bench-nothing: waiting failed: %s\n", strerror(-error));
			return 1;
		}
		if (round % ACCEPT_EVERY == 0 || zs_net_now() - before > SLEEP_NS)
			accept_pending(server, listener);
	}
	return 0;
}

int main(int argc, char **argv)
{
	static struct server server;
	struct sigaction action = { .sa_handler = on_signal };
	const struct zs_driver_events events = { on_data, on_sent, on_closed, &server };
	int listener;
	int status;

	zs_flags_parse(&program, argc, argv);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	for (unsigned i = 0; i < CONNECTIONS; i++)
		server.connections[i].fd = -1;
	if (!make_bulk(&server.bulk) || !make_answers(&server.ok, "+OK\r\n", 5)) {
		fprintf(stderr, "bench-nothing: out of memory\n");
		return 1;
	}
	listener = listen_on((uint16_t)port);
	if (listener < 0) {
		fprintf(stderr, "bench-nothing: cannot listen on 127.0.0.1:%" PRIu64 ": %s\n", port, strerror(errno));
		return 1;
	}
	server.driver = zs_driver_open(io, CONNECTIONS, &events);
	if (!server.driver)
		return 1;
	status = serve(&server, listener);
	zs_driver_close(server.driver);
	close(listener);
	free(server.bulk.data);
	free(server.ok.data);
	return status;
}
