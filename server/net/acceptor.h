/*
 * The main thread's work: accepting connections and giving them to workers, and signals.
 */
#ifndef ZS_SERVER_NET_ACCEPTOR_H
#define ZS_SERVER_NET_ACCEPTOR_H

struct zs_node;

/*
 * Blocks SIGTERM, SIGINT and SIGHUP for this thread and those it starts, and ignores SIGPIPE. Returns a descriptor
 * that reports the three, or -1 (errno). To be called before any thread is started.
 */
int zs_acceptor_signals(void);

/* Runs until SIGTERM or SIGINT. SIGHUP reopens the log. */
void zs_acceptor_run(struct zs_node *node, int signal_fd);

#endif
