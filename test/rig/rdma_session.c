#include "test/rig/rdma_session.h"

#include <stdio.h>
#include <string.h>

static void end(struct session *s, const char *why)
{
	snprintf(s->why, sizeof(s->why), "%s", why);
	session_close(s);
}

static void on_opened(void *context, struct zs_rdma_connection *connection)
{
	struct session *s = context;

	s->opened = zs_rdma_connection_is_ready(connection);
}

static void on_ended(void *context, struct zs_rdma_connection *connection, const char *why)
{
	struct session *s = context;

	if (connection == s->connection)
		end(s, why);
}

static void take_answer(struct session *s)
{
	char why[256];

	s->answer.sent_ns = s->sent_ns;
	if (zs_rdma_reader_begin(s->reader, s->connection, &s->answer, why, sizeof(why)))
		end(s, why);
}

static void on_received(void *context, struct zs_rdma_connection *connection, const uint8_t *data, size_t size)
{
	struct session *s = context;
	size_t missing = s->sent_ns ? sizeof(s->answer) - s->answered : 0;
	size_t taken = size < missing ? size : missing;

	(void)connection;
	memcpy((uint8_t *)&s->answer + s->answered, data, taken);
	s->answered += taken;
	if (taken && s->answered == sizeof(s->answer))
		take_answer(s);
	if (size == taken)
		return;
	if (s->echoed)
		s->echoed(s->context, data + taken, size - taken);
	else
		end(s, "the node sent what nobody asked for");
}

static void on_writable(void *context, struct zs_rdma_connection *connection)
{
	struct session *s = context;

	(void)connection;
	if (s->writable)
		s->writable(s->context);
}

static void on_done(void *context, void *read, bool ok)
{
	const struct session *s = context;

	zs_rdma_reader_done(s->reader, read, ok);
}

void session_unfit(void *context, const char *why)
{
	end(context, why);
}

void session_begin(struct session *s, struct sockaddr_in address)
{
	struct zs_rdma_handler handler = { on_opened, on_ended, on_received, on_writable, on_done, s };
	char why[256] = "";

	session_close(s);
	s->why[0] = 0;
	if (zs_rdma_connect(s->rdma, &address, &handler, &s->connection, why, sizeof(why)))
		end(s, why);
}

void session_ask(struct session *s)
{
	static const char grant = GRANT;

	s->answered = 0;
	s->sent_ns = zs_clock_ns(zs_rdma_clock(s->rdma));
	if (zs_rdma_send(s->connection, &grant, 1) != 1)
		end(s, "one byte cannot be sent over a new connection");
}

void session_close(struct session *s)
{
	struct zs_rdma_connection *connection = s->connection;

	s->connection = NULL;
	s->opened = false;
	s->sent_ns = 0;
	zs_rdma_reader_end(s->reader);
	if (connection)
		zs_rdma_close(connection);
}
