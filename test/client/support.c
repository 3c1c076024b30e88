#include "test/client/support.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ftw.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define START_MS 20000
#define LOOPBACK "127.0.0.1"

/* A node does not listen by RDMA at 127.0.0.1. This address it takes for one of others, and nobody can connect to it.
 */
#define MULTICAST "239.255.78.1"

void sleep_ms(unsigned ms)
{
	struct timespec t = { ms / 1000, (long)(ms % 1000) * 1000000 };

	while (nanosleep(&t, &t) && errno == EINTR)
		;
}

uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

bool wait_until(bool (*condition)(void *context), void *context)
{
	for (uint64_t until = now_ms() + 10000; now_ms() < until; sleep_ms(5)) {
		if (condition(context))
			return true;
	}
	return false;
}

/* ---- real nodes ---- */

static int listen_anywhere(int *port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 64), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
	*port = ntohs(address.sin_port);
	return fd;
}

static void run_node(const struct test_node *node)
{
	const char *program = getenv("ZSLABD");
	const char *bind = getenv("ZS_RDMA_BIND");
	char port[16];
	char log[128];
	const char *argv[64] = { program ? program : "zslabd",
				 "--port",
				 port,
				 "--bind",
				 bind ? bind : node->host,
				 "--unixsocket",
				 node->unix_address + 5,
				 "--memory",
				 "64mb",
				 "--workers",
				 "1",
				 "--logfile",
				 log };
	size_t count = 13;

	snprintf(port, sizeof(port), "%d", node->port);
	snprintf(log, sizeof(log), "%s/log", node->directory);
	if (getenv("ZS_RDMA_ADDRESS")) {
		argv[count++] = "--protected-mode";
		argv[count++] = "no";
		argv[count++] = "--rdma";
		argv[count++] = "yes";
		/* READs of software are slow. */
		argv[count++] = "--quarantine";
		argv[count++] = "500ms";
	}
	for (size_t i = 0; node->options[i]; i++)
		argv[count++] = node->options[i];
	argv[count] = NULL;
	/* A test that fails leaves its node behind, which would keep the test's output open. */
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	execvp(argv[0], (char *const *)(uintptr_t)argv);
	fprintf(stderr, "cannot run %s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

static bool accepts(const char *address)
{
	struct zslab_options options = { .via = ZSLAB_VIA_TCP };
	struct zslab *handle;
	char why[ZSLAB_ERROR_MAX];
	int status = zslab_open(&handle, &address, 1, &options, why, sizeof(why));

	zslab_close(handle);
	return status == ZSLAB_OK || status == ZSLAB_EAUTH;
}

void node_restart(struct test_node *node)
{
	uint64_t until = now_ms() + START_MS;

	node->pid = fork();
	assert_true(node->pid >= 0);
	if (!node->pid)
		run_node(node);
	while (!accepts(node->unix_address) || !accepts(node->tcp_address)) {
		if (waitpid(node->pid, NULL, WNOHANG) == node->pid)
			fail_msg("the node ended at once; see %s/log", node->directory);
		if (now_ms() > until)
			fail_msg("the node does not start; see %s/log", node->directory);
		sleep_ms(20);
	}
}

void node_start(struct test_node *node, const char *const *options)
{
	size_t count = 0;

	*node = (struct test_node){ 0 };
	strcpy(node->directory, "/tmp/zslab-test-XXXXXX");
	assert_non_null(mkdtemp(node->directory));
	close(listen_anywhere(&node->port));
	snprintf(node->unix_address, sizeof(node->unix_address), "unix:%s/socket", node->directory);
	node->host = getenv("ZS_RDMA_ADDRESS") ? getenv("ZS_RDMA_ADDRESS") : LOOPBACK;
	snprintf(node->tcp_address, sizeof(node->tcp_address), "%s:%d", node->host, node->port);
	for (; options && options[count]; count++) {
		assert_true(count < 15);
		node->options[count] = options[count];
	}
	node_restart(node);
}

void node_kill(struct test_node *node)
{
	assert_int_equal(kill(node->pid, SIGKILL), 0);
	assert_int_equal(waitpid(node->pid, NULL, 0), node->pid);
	node->pid = 0;
}

static int remove_one(const char *path, const struct stat *stat, int kind, struct FTW *ftw)
{
	(void)stat;
	(void)kind;
	(void)ftw;
	return remove(path);
}

void node_stop(struct test_node *node)
{
	int status = 0;

	if (node->pid) {
		assert_int_equal(kill(node->pid, SIGTERM), 0);
		assert_int_equal(waitpid(node->pid, &status, 0), node->pid);
	}
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		fail_msg("the node ended with status %#x; see %s/log", (unsigned)status, node->directory);
	nftw(node->directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

void node_freeze(struct test_node *node)
{
	int status;

	assert_int_equal(kill(node->pid, SIGSTOP), 0);
	assert_int_equal(waitpid(node->pid, &status, WUNTRACED), node->pid);
}

void node_thaw(struct test_node *node)
{
	assert_int_equal(kill(node->pid, SIGCONT), 0);
}

/* ---- fake nodes ---- */

const char fake_hello[] = "*14\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n7.0.0\r\n$5\r\nproto\r\n:2\r\n"
			  "$2\r\nid\r\n:1\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n"
			  "$7\r\nmodules\r\n*0\r\n";

static bool stops(struct fake *fake)
{
	return __atomic_load_n(&fake->stops, __ATOMIC_RELAXED);
}

/* Waits for bytes. False: it is to stop, or the client has gone. */
static bool await(struct fake *fake, int fd)
{
	struct pollfd wait = { .fd = fd, .events = POLLIN };

	while (!stops(fake)) {
		if (poll(&wait, 1, 10) == 1)
			return true;
	}
	return false;
}

/* Each piece that arrives is taken for a command: the tests send one at a time. */
static void serve(struct fake *fake, int fd)
{
	char buffer[65536];
	size_t i = 0;

	while (fake->answers[i] && await(fake, fd) && recv(fd, buffer, sizeof(buffer), 0) > 0) {
		size_t size = fake->sizes ? fake->sizes[i] : strlen(fake->answers[i]);

		if (send(fd, fake->answers[i], size, MSG_NOSIGNAL) < 0)
			break;
		i++;
	}
	while (fake->end == FAKE_KEEPS && await(fake, fd) && recv(fd, buffer, sizeof(buffer), 0) > 0)
		;
	close(fd);
}

static void *fake_main(void *context)
{
	struct fake *fake = context;

	while (await(fake, fake->listener)) {
		int fd = accept(fake->listener, NULL, NULL);

		__atomic_fetch_add(&fake->connections, 1, __ATOMIC_RELAXED);
		if (fd >= 0)
			serve(fake, fd);
	}
	return NULL;
}

void fake_listen(struct fake *fake)
{
	int port;

	*fake = (struct fake){ .listener = listen_anywhere(&port) };
	snprintf(fake->address, sizeof(fake->address), "127.0.0.1:%d", port);
}

void fake_start(struct fake *fake, const char *const *answers, enum fake_end end)
{
	fake_listen(fake);
	fake->answers = answers;
	fake->end = end;
	assert_int_equal(pthread_create(&fake->thread, NULL, fake_main, fake), 0);
}

void fake_stop(struct fake *fake)
{
	__atomic_store_n(&fake->stops, true, __ATOMIC_RELAXED);
	pthread_join(fake->thread, NULL);
	close(fake->listener);
}

/* ---- handles ---- */

struct zslab *open_with(const char *const *addresses, size_t count, const struct zslab_options *options)
{
	struct zslab *handle;
	char why[ZSLAB_ERROR_MAX] = "";

	if (zslab_open(&handle, addresses, count, options, why, sizeof(why)))
		fail_msg("cannot open: %s", why);
	return handle;
}

struct zslab *open_handle(const char *address, enum zslab_via via)
{
	/* Machines that run tests are slow now and then. */
	struct zslab_options options = { .via = via, .timeout_ms = 20000, .connect_timeout_ms = 20000 };

	return open_with(&address, 1, &options);
}

int set_text(struct zslab *handle, const char *key, const char *value)
{
	return zslab_set(handle, key, strlen(key), value, strlen(value), 0);
}

int get_text(struct zslab *handle, const char *key, char *value, size_t value_size)
{
	size_t size;
	int status = zslab_get_into(handle, key, strlen(key), value, value_size - 1, &size);

	value[size < value_size ? size : value_size - 1] = 0;
	return status;
}

void check_status(const struct zslab *handle, int status, int expected, const char *file, int line)
{
	if (status == expected)
		return;
	print_error("%s instead of %s: %s\n", zslab_error_name(status), zslab_error_name(expected),
		    handle ? zslab_error(handle) : "");
	_fail(file, line);
}

void assert_mentions(const char *sentence, const char *part)
{
	if (!strstr(sentence, part))
		fail_msg("'%s' does not mention '%s'", sentence, part);
}
