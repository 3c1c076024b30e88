/*
 * A client's session with the node of rdma_read. What is said over the connection is the test's own: the client sends
 * GRANT and gets a struct zs_rdma_session (times are the client's to fill in); everything else comes back as an echo.
 */
#ifndef ZS_TEST_RIG_RDMA_SESSION_H
#define ZS_TEST_RIG_RDMA_SESSION_H

#include "common/rdma_reader.h"

#define GRANT 'G'

struct session {
	struct zs_rdma *rdma;
	struct zs_rdma_reader *reader;
	struct zs_rdma_connection *connection; /* NULL: there is none */
	uint64_t sent_ns;
	struct zs_rdma_session answer;
	size_t answered; /* bytes of it */
	bool opened;
	char why[256]; /* of its end */
	/* What else comes; NULL: nothing may. */
	void (*echoed)(void *context, const uint8_t *data, size_t size);
	void (*writable)(void *context);
	void *context;
};

/* Begins to connect; opened, or why, tells the end of it. An earlier connection is closed. */
void session_begin(struct session *session, struct sockaddr_in address);

/* Asks for the right to read; the reader's state, or why, tells the end of it. */
void session_ask(struct session *session);

/* For the reader's events: the session is the context. */
void session_unfit(void *session, const char *why);

void session_close(struct session *session);

#endif
