#include "client/channel.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

/* Bytes asked for at a time. */
#define RECEIVE_SIZE 16384u

/* Pieces received in a row before others have their turn. */
#define RECEIVE_TURNS 16

static void break_up(struct zs_channel *c, int status, const char *why)
{
	zs_channel_close(c);
	c->events->broken(c, status, why);
}

static void break_by_errno(struct zs_channel *c, const char *what, int error)
{
	char why[ZSLAB_ERROR_MAX];

	snprintf(why, sizeof(why), "%s: %s", what, strerror(error));
	break_up(c, ZSLAB_EUNREACHABLE, why);
}

/* ---- epoll ---- */

static int watch(struct zs_channel *c, int operation, bool writing)
{
	struct epoll_event event = { .events = EPOLLIN | (writing ? (uint32_t)EPOLLOUT : 0), .data.ptr = c };

	c->wants_to_write = writing;
	return epoll_ctl(c->epoll, operation, c->fd, &event) ? -errno : 0;
}

static void watch_writing(struct zs_channel *c, bool writing)
{
	if (c->wants_to_write != writing)
		(void)watch(c, EPOLL_CTL_MOD, writing);
}

/* ---- open and close ---- */

void zs_channel_drop_descriptor(struct zs_channel *c)
{
	if (c->passed_fd >= 0)
		close(c->passed_fd);
	c->passed_fd = -1;
}

void zs_channel_close(struct zs_channel *c)
{
	if (c->fd >= 0)
		c->transport->stop(c->fd); /* which takes it out of the epoll set */
	c->fd = -1;
	zs_channel_drop_descriptor(c);
	c->state = ZS_CHANNEL_CLOSED;
	zs_buffer_clear(&c->in);
	zs_buffer_clear(&c->out);
}

void zs_channel_free(struct zs_channel *c)
{
	zs_channel_close(c);
	zs_buffer_free(&c->in);
	zs_buffer_free(&c->out);
}

static void greet(struct zs_channel *c)
{
	c->state = ZS_CHANNEL_GREETING;
	c->greeting_left = 1;
	if (zs_buffer_append(&c->out, zs_buffer_bytes(c->greeting), zs_buffer_size(c->greeting)))
		break_up(c, ZSLAB_ENOMEM, "not enough memory");
	else
		zs_channel_flush(c);
}

/* The next endpoint of the address, looked up again once all have been tried. */
static bool next_endpoint(struct zs_channel *c)
{
	char why[ZSLAB_ERROR_MAX];

	if (++c->endpoint < c->address->count)
		return true;
	c->endpoint = 0;
	if (zs_address_resolve(c->address, why, sizeof(why)) == ZSLAB_OK || c->address->count)
		return true;
	c->events->broken(c, ZSLAB_EUNREACHABLE, why);
	return false;
}

void zs_channel_open(struct zs_channel *c, uint64_t deadline_ns)
{
	bool pending;
	int fd;
	int error;

	/* The endpoint that worked last is tried again first; one that failed makes room for the next. */
	if (!c->was_ready && !next_endpoint(c))
		return;
	c->was_ready = false;
	c->sent = 0;
	c->deadline_ns = deadline_ns;
	fd = c->transport->start(&c->address->endpoints[c->endpoint], &pending);
	if (fd < 0) {
		break_by_errno(c, "cannot connect", -fd);
		return;
	}
	c->fd = fd;
	c->state = ZS_CHANNEL_CONNECTING;
	error = watch(c, EPOLL_CTL_ADD, pending);
	if (error)
		break_by_errno(c, "cannot wait for it", -error);
	else if (!pending)
		greet(c);
}

void zs_channel_expire(struct zs_channel *c, uint64_t now_ns)
{
	if (now_ns < c->deadline_ns)
		return;
	if (c->state == ZS_CHANNEL_CONNECTING)
		break_up(c, ZSLAB_EUNREACHABLE, "it does not accept our connection in time");
	else if (c->state == ZS_CHANNEL_GREETING)
		break_up(c, ZSLAB_EUNREACHABLE, "it accepts connections but does not answer in time");
}

/* ---- sending ---- */

void zs_channel_flush(struct zs_channel *c)
{
	if (c->state < ZS_CHANNEL_GREETING)
		return;
	while (zs_buffer_size(&c->out)) {
		ssize_t n = c->transport->send(c->fd, zs_buffer_bytes(&c->out), zs_buffer_size(&c->out));

		if (n == -EINTR)
			continue;
		if (n == -EAGAIN) {
			watch_writing(c, true);
			return;
		}
		if (n < 0) {
			break_by_errno(c, "the connection broke while sending", (int)-n);
			return;
		}
		c->sent += (uint64_t)n;
		zs_buffer_consume(&c->out, (size_t)n);
	}
	watch_writing(c, false);
}

/* ---- receiving ---- */

static int refuse_greeting(const struct zs_token *token, char *why, size_t why_size)
{
	char shown[200];

	zs_reply_show(token->text, token->size, shown, sizeof(shown));
	if (!strncmp(shown, "WRONGPASS", 9) || !strncmp(shown, "NOAUTH", 6) || !strncmp(shown, "NOPERM", 6) ||
	    strstr(shown, "without any password configured")) {
		snprintf(why, why_size, "it refuses to log us in (check user and password): %s", shown);
		return ZSLAB_EAUTH;
	}
	snprintf(why, why_size, "it refuses our HELLO: %s", shown);
	return ZSLAB_EPROTO;
}

/* The reply to HELLO: an array, of which only the end is of interest. */
static int greeting_token(struct zs_channel *c, const struct zs_token *token, char *why, size_t why_size)
{
	if (token->kind == ZS_TOKEN_ERROR)
		return refuse_greeting(token, why, why_size);
	c->greeting_left--;
	if (token->kind == ZS_TOKEN_ARRAY)
		c->greeting_left += (size_t)token->number;
	if (c->greeting_left > ZS_REPLY_ARRAY_MAX) {
		snprintf(why, why_size, "its reply to HELLO has no end");
		return ZSLAB_EPROTO;
	}
	if (!c->greeting_left) {
		c->state = ZS_CHANNEL_READY;
		c->was_ready = true;
		c->events->ready(c);
	}
	return ZSLAB_OK;
}

/* Hands on what has arrived whole. False: the channel is closed now. */
static bool parse(struct zs_channel *c)
{
	char why[ZSLAB_ERROR_MAX];

	while (zs_buffer_size(&c->in)) {
		struct zs_token token;
		enum zs_reply_result result =
		    zs_reply_next(zs_buffer_bytes(&c->in), zs_buffer_size(&c->in), &token, why, sizeof(why));
		int status = ZSLAB_EPROTO;

		if (result == ZS_REPLY_MORE)
			return true;
		if (result == ZS_REPLY_TOKEN && c->state == ZS_CHANNEL_GREETING)
			status = greeting_token(c, &token, why, sizeof(why));
		else if (result == ZS_REPLY_TOKEN)
			status = c->events->token(c, &token, why, sizeof(why));
		if (status) {
			break_up(c, status, why);
			return false;
		}
		if (c->state == ZS_CHANNEL_CLOSED)
			return false;
		zs_buffer_consume(&c->in, token.consumed);
	}
	return true;
}

void zs_channel_receive(struct zs_channel *c)
{
	for (unsigned i = 0; i < RECEIVE_TURNS && c->state >= ZS_CHANNEL_GREETING; i++) {
		uint8_t *to = zs_buffer_reserve(&c->in, RECEIVE_SIZE);
		ssize_t n;

		if (!to) {
			break_up(c, ZSLAB_ENOMEM, "not enough memory for a reply");
			return;
		}
		n = c->transport->receive(c->fd, to, RECEIVE_SIZE, c->takes_descriptors ? &c->passed_fd : NULL);
		if (n == -EAGAIN)
			return;
		if (n == -EINTR)
			continue;
		if (n < 0) {
			break_by_errno(c, "the connection broke", (int)-n);
			return;
		}
		if (n == 0) {
			break_up(c, ZSLAB_EUNREACHABLE,
				 c->state == ZS_CHANNEL_GREETING ? "it closed the connection at once"
								 : "it closed the connection");
			return;
		}
		c->in.end += (size_t)n;
		if (!parse(c) || (size_t)n < RECEIVE_SIZE)
			return;
	}
}

void zs_channel_event(struct zs_channel *c, uint32_t events)
{
	if (c->state == ZS_CHANNEL_CONNECTING) {
		int error = c->transport->finish(c->fd);

		if (error) {
			break_by_errno(c, "cannot connect", -error);
			return;
		}
		greet(c);
	}
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		zs_channel_receive(c);
	if (events & EPOLLOUT)
		zs_channel_flush(c);
}
