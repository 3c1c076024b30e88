#include "server/net/acceptor.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/log.h"
#include "server/net/worker.h"
#include "server/node/node.h"

#define TICK_MS 100

/* Connections taken from one listener before the others have their turn. */
#define ACCEPT_BATCH 256

int zs_acceptor_signals(void)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &set, 0);
	return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

static struct zs_worker *least_loaded(struct zs_node *node)
{
	struct zs_worker *best = &node->workers[0];
	uint64_t fewest = UINT64_MAX;

	for (unsigned i = 0; i < node->workers_count; i++) {
		uint64_t n = atomic_load_explicit(&node->workers[i].clients_count, memory_order_relaxed);

		if (n < fewest) {
			fewest = n;
			best = &node->workers[i];
		}
	}
	return best;
}

static void refuse(struct zs_node *node, int fd)
{
	static const char text[] = "-ERR max number of clients reached\r\n";

	(void)!send(fd, text, sizeof(text) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
	close(fd);
	atomic_fetch_add_explicit(&node->rejected, 1, memory_order_relaxed);
}

static void place(struct zs_node *node, int fd)
{
	uint64_t most = (uint64_t)zs_node_setting(node, ZS_SET_MAXCLIENTS);

	if (atomic_fetch_add_explicit(&node->clients, 1, memory_order_relaxed) >= most ||
	    !zs_worker_give(least_loaded(node), fd)) {
		atomic_fetch_sub_explicit(&node->clients, 1, memory_order_relaxed);
		refuse(node, fd);
		return;
	}
	atomic_fetch_add_explicit(&node->accepted, 1, memory_order_relaxed);
}

/* False if the system has no descriptor or memory to give: better to wait a little. */
static bool accept_some(struct zs_node *node, int listener)
{
	for (int i = 0; i < ACCEPT_BATCH; i++) {
		int fd = accept4(listener, 0, 0, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			place(node, fd);
		} else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			zs_log(ZS_LOG_WARN, "connections cannot be accepted", zs_log_text("error", strerror(errno)));
			return false;
		} else if (errno != ECONNABORTED && errno != EINTR) {
			break;
		}
	}
	return true;
}

static uint64_t commands_so_far(const struct zs_node *node)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < node->workers_count; i++)
		sum += atomic_load_explicit(&node->workers[i].stats->commands, memory_order_relaxed);
	return sum;
}

static void sample_ops(struct zs_node *node)
{
	struct zs_ops *ops = &node->ops;
	uint64_t now_ns = zs_clock_ns(zs_clock_system());
	uint64_t count = commands_so_far(node);
	uint64_t elapsed = now_ns - ops->last_ns;
	uint64_t sum = 0;

	if (elapsed < TICK_MS * UINT64_C(1000000))
		return;
	/* A reset of the figures makes the count smaller. */
	ops->samples[ops->next] = count >= ops->last_count ? (count - ops->last_count) * 1000000000 / elapsed : 0;
	ops->next = (ops->next + 1) % ZS_OPS_SAMPLES;
	ops->last_count = count;
	ops->last_ns = now_ns;
	for (unsigned i = 0; i < ZS_OPS_SAMPLES; i++)
		sum += ops->samples[i];
	atomic_store_explicit(&ops->per_second, sum / ZS_OPS_SAMPLES, memory_order_relaxed);
}

static void reopen_log(void)
{
	if (zs_log_reopen())
		zs_log(ZS_LOG_ERROR, "the log file cannot be opened again; the old one is kept",
		       zs_log_text("error", strerror(errno)));
	else
		zs_log(ZS_LOG_INFO, "log reopened");
}

/* True if the node shall stop. */
static bool handle_signals(int signal_fd)
{
	struct signalfd_siginfo info;

	while (read(signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo == SIGHUP) {
			reopen_log();
			continue;
		}
		zs_log(ZS_LOG_INFO, "stopping",
		       zs_log_text("signal", info.ssi_signo == SIGTERM ? "SIGTERM" : "SIGINT"));
		return true;
	}
	return false;
}

void zs_acceptor_run(struct zs_node *node, int signal_fd)
{
	struct pollfd fds[ZS_LISTENERS_MAX + 1];
	unsigned count = node->listeners.count;
	bool accepting = true;

	node->ops.last_ns = zs_clock_ns(zs_clock_system());
	fds[0] = (struct pollfd){ .fd = signal_fd, .events = POLLIN };
	for (unsigned i = 0; i < count; i++)
		fds[i + 1] = (struct pollfd){ .fd = node->listeners.list[i].fd, .events = POLLIN };
	for (;;) {
		int ready = poll(fds, accepting ? count + 1 : 1, TICK_MS);

		sample_ops(node);
		zs_sessions_renew(&node->sessions);
		if (ready > 0 && fds[0].revents && handle_signals(signal_fd))
			return;
		if (!accepting || ready <= 0) {
			accepting = true;
			continue;
		}
		for (unsigned i = 0; i < count && accepting; i++) {
			if (fds[i + 1].revents)
				accepting = accept_some(node, fds[i + 1].fd);
		}
	}
}
