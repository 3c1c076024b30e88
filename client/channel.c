#include "client/channel.h"

#include <stdio.h>
#include <string.h>

/* ---- open and close ---- */

void zs_channel_close(struct zs_channel *c)
{
	c->state = ZS_CHANNEL_CLOSED;
	c->link->transport->stop(c->link);
	zs_buffer_clear(&c->in);
	zs_buffer_clear(&c->out);
}

void zs_channel_free(struct zs_channel *c)
{
	zs_channel_close(c);
	zs_buffer_free(&c->in);
	zs_buffer_free(&c->out);
}

void zs_channel_break(struct zs_channel *c, int status, const char *why)
{
	zs_channel_close(c);
	c->events->broken(c, status, why);
}

void zs_channel_open(struct zs_channel *c, const struct zs_endpoint *endpoint, uint64_t deadline_ns)
{
	char why[ZSLAB_ERROR_MAX];
	int status;

	c->state = ZS_CHANNEL_CONNECTING;
	c->was_ready = false;
	c->sent = 0;
	c->id = 0;
	c->id_is_next = false;
	c->deadline_ns = deadline_ns;
	status = c->link->transport->start(c->link, endpoint, why, sizeof(why));
	if (status)
		zs_channel_break(c, status, why);
}

void zs_channel_connected(struct zs_channel *c)
{
	c->state = ZS_CHANNEL_GREETING;
	c->greeting_left = 1;
	if (zs_buffer_append(&c->out, zs_buffer_bytes(c->greeting), zs_buffer_size(c->greeting)))
		zs_channel_break(c, ZSLAB_ENOMEM, "not enough memory");
	else
		zs_channel_flush(c);
}

void zs_channel_ended(struct zs_channel *c)
{
	zs_channel_break(c, ZSLAB_EUNREACHABLE,
			 c->state == ZS_CHANNEL_GREETING ? "it closed the connection at once"
							 : "it closed the connection");
}

void zs_channel_expire(struct zs_channel *c, uint64_t now_ns)
{
	if (now_ns < c->deadline_ns)
		return;
	if (c->state == ZS_CHANNEL_CONNECTING)
		zs_channel_break(c, ZSLAB_EUNREACHABLE, "it does not accept our connection in time");
	else if (c->state == ZS_CHANNEL_GREETING)
		zs_channel_break(c, ZSLAB_EUNREACHABLE, "it accepts connections but does not answer in time");
}

/* ---- sending ---- */

void zs_channel_flush(struct zs_channel *c)
{
	if (c->state < ZS_CHANNEL_GREETING)
		return;
	while (zs_buffer_size(&c->out)) {
		size_t size = zs_buffer_size(&c->out);
		ssize_t n = c->link->transport->send(c->link, zs_buffer_bytes(&c->out), size);
		char why[ZSLAB_ERROR_MAX];

		if (n < 0) {
			snprintf(why, sizeof(why), "the connection broke while sending: %s", strerror((int)-n));
			zs_channel_break(c, ZSLAB_EUNREACHABLE, why);
			return;
		}
		c->sent += (uint64_t)n;
		zs_buffer_consume(&c->out, (size_t)n);
		if ((size_t)n < size)
			return;
	}
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

/* The reply to HELLO: an array of names and values, of which the id and the end are of interest. */
static int greeting_token(struct zs_channel *c, const struct zs_token *token, char *why, size_t why_size)
{
	if (token->kind == ZS_TOKEN_ERROR)
		return refuse_greeting(token, why, why_size);
	c->greeting_left--;
	if (c->id_is_next && token->kind == ZS_TOKEN_INTEGER && token->number > 0)
		c->id = (uint64_t)token->number;
	c->id_is_next = token->kind == ZS_TOKEN_BULK && token->size == 2 && !memcmp(token->text, "id", 2);
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
			zs_channel_break(c, status, why);
			return false;
		}
		if (c->state == ZS_CHANNEL_CLOSED)
			return false;
		zs_buffer_consume(&c->in, token.consumed);
	}
	return true;
}

uint8_t *zs_channel_room(struct zs_channel *c, size_t size)
{
	uint8_t *to = zs_buffer_reserve(&c->in, size);

	if (!to)
		zs_channel_break(c, ZSLAB_ENOMEM, "not enough memory for a reply");
	return to;
}

bool zs_channel_received(struct zs_channel *c, size_t size)
{
	c->in.end += size;
	return parse(c);
}

void zs_channel_receive(struct zs_channel *c)
{
	if (c->state >= ZS_CHANNEL_GREETING)
		c->link->transport->receive(c->link);
}
