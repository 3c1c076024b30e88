/* Sessions of clients that read the node's memory by themselves: ours alone. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/error.h"
#include "common/layout.h"
#include "common/log.h"
#include "common/rdma.h"
#include "server/commands/numbers.h"
#include "server/commands/server_handlers.h"
#include "server/net/client.h"
#include "server/node/node.h"

/* Most hashes of one ZS.TOUCHED that are looked at. */
#define TOUCHED_MAX 256

/* Whether the peer may read everything: it runs as the user that the node runs as, or as root. */
static bool peer_is_trusted(const struct zs_client *client, uid_t *uid)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	*uid = (uid_t)-1;
	if (getsockopt(client->connection.fd, SOL_SOCKET, SO_PEERCRED, &peer, &size))
		return false;
	*uid = peer.uid;
	return peer.uid == geteuid() || peer.uid == 0;
}

/* False: answered with an error. */
static bool check_layout(struct zs_call *call)
{
	int64_t version;

	if (zs_integer_parse(call->argv[1].data, call->argv[1].size, &version) && version == ZS_LAYOUT_VERSION)
		return true;
	zs_reply_error(call->reply,
		       "ERR this node's memory has layout %u, the client asked for %.*s: both must be of one release",
		       ZS_LAYOUT_VERSION, (int)(call->argv[1].size < 20 ? call->argv[1].size : 20),
		       (const char *)call->argv[1].data);
	return false;
}

/* False: answered with an error. */
static bool may_map(struct zs_call *call)
{
	uid_t uid;

	if (call->client->transport != ZS_TRANSPORT_UNIX)
		zs_reply_error(call->reply, "ERR reading the memory needs a connection over the node's Unix socket "
					    "('unixsocket') or RDMA ('rdma')");
	else if (!zs_node_setting(call->node, ZS_SET_SHARED_MEMORY))
		zs_reply_error(call->reply, "NOPERM shared memory is turned off ('shared-memory = no')");
	else if (!peer_is_trusted(call->client, &uid))
		zs_reply_error(
		    call->reply,
		    "NOPERM only users root and %u, which runs the node, may map its memory; you are user %d",
		    (unsigned)geteuid(), (int)uid);
	else if (call->client->session.tag)
		zs_reply_error(call->reply, "ERR this connection has a session already");
	else if (call->client->sending.used)
		zs_reply_error(call->reply, "ERR read the replies that are under way before ZS.ATTACH");
	else
		return true;
	return false;
}

static void reply_hex(struct zs_call *call, uint64_t number)
{
	char text[24];

	snprintf(text, sizeof(text), "%016llx", (unsigned long long)number);
	zs_reply_bulk_text(call->reply, text);
}

/* How both answers begin. */
static void reply_arena(struct zs_call *call, const struct zs_share *share)
{
	zs_reply_array(call->reply, 8);
	zs_reply_integer(call->reply, ZS_LAYOUT_VERSION);
	reply_hex(call, share->incarnation);
	zs_reply_integer(call->reply, (int64_t)share->size);
}

static void reply_session(struct zs_call *call, const struct zs_share *share)
{
	const struct zs_clock *clock = zs_clock_system();
	const struct zs_session *session = &call->client->session;
	int64_t node_minus_boot_ms = (int64_t)zs_clock_ms(clock) - (int64_t)(zs_clock_ns(clock) / 1000000);

	reply_arena(call, share);
	zs_reply_integer(call->reply, session->index);
	reply_hex(call, share->lease_offset + 8u * session->index);
	zs_reply_integer(call->reply, zs_node_setting(call->node, ZS_SET_LEASE));
	zs_reply_integer(call->reply, node_minus_boot_ms);
	zs_reply_integer(call->reply, session->tag);
}

static void attach_by_mapping(struct zs_call *call, const struct zs_share *share)
{
	int result = zs_session_begin(&call->node->sessions, &call->client->session);
	if (result == ZS_EFULL) {
		zs_reply_error(call->reply, "ERR all %u sessions over shared memory are in use", ZS_SESSIONS_MAX);
	} else if (result) {
		zs_reply_error(call->reply, "ERR the lease cannot be recorded in %s: %s",
			       call->node->sessions.record_path, strerror(errno));
	} else {
		call->client->pass_fd = share->fd;
		reply_session(call, share);
	}
}

/* The lease is there before the right: whoever can read is expected. */
static void attach_by_rdma(struct zs_call *call, const struct zs_share *share)
{
	uint64_t lease_ms = zs_sessions_lease(&call->node->sessions);
	struct zs_rdma_target target;

	if (zs_rdma_grant(call->client->rdma, &target)) {
		zs_reply_error(call->reply, "ERR the RDMA device refuses to let this connection read");
		return;
	}
	call->client->reads_by_rdma = true;
	reply_arena(call, share);
	reply_hex(call, target.address);
	zs_reply_integer(call->reply, target.rkey);
	zs_reply_integer(call->reply, (int64_t)lease_ms);
	zs_reply_integer(call->reply, (int64_t)zs_clock_ms(zs_clock_system()));
	zs_reply_integer(call->reply, zs_node_setting(call->node, ZS_SET_QUARANTINE));
}

/*
 * ZS.ATTACH layout-version. An array: layout version, incarnation (hex), bytes of the arena, and
 *   over a Unix socket: number of the session, offset of its lease word (hex), length of a lease in ms, the node's time
 *     less CLOCK_BOOTTIME in ms, the session's tag; the arena's descriptor comes with it, as SCM_RIGHTS;
 *   over RDMA: the arena's address (hex), its rkey, length of a lease in ms, the node's time in ms, the quarantine in
 *     ms; the lease counts from when the client asked.
 * The session lasts as long as the connection.
 */
int zs_handle_attach(struct zs_call *call)
{
	bool by_rdma = call->client->transport == ZS_TRANSPORT_RDMA;
	struct zs_share share;

	if (!check_layout(call) || (!by_rdma && !may_map(call)))
		return ZS_OK;
	if (zs_engine_share(call->node->engine, &share))
		zs_reply_error(call->reply, "ERR this kernel cannot seal memory (F_SEAL_FUTURE_WRITE, Linux 5.1), so "
					    "it is not shared");
	else if (by_rdma)
		attach_by_rdma(call, &share);
	else
		attach_by_mapping(call, &share);
	return ZS_OK;
}

/* ZS.LEASE: another lease for a session over RDMA, to be asked for every fifth of one: its length, the node's time. */
int zs_handle_lease(struct zs_call *call)
{
	if (!call->client->reads_by_rdma) {
		zs_reply_error(call->reply, "ERR this connection has no session over RDMA (ZS.ATTACH)");
		return ZS_OK;
	}
	zs_reply_array(call->reply, 2);
	zs_reply_integer(call->reply, (int64_t)zs_sessions_lease(&call->node->sessions));
	zs_reply_integer(call->reply, (int64_t)zs_clock_ms(zs_clock_system()));
	return ZS_OK;
}

/* 64 bits from 16 hex digits. */
static bool parse_hash(const struct zs_argument *text, uint64_t *hash)
{
	*hash = 0;
	if (text->size != 16)
		return false;
	for (size_t i = 0; i < 16; i++) {
		uint8_t c = text->data[i] | 0x20;

		if (c >= '0' && c <= '9')
			*hash = *hash << 4 | (uint64_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			*hash = *hash << 4 | (uint64_t)(c - 'a' + 10);
		else
			return false;
	}
	return true;
}

/*
 * ZS.TOUCHED hash...: keys, by their hashes in hex, that a session has read lately without the node's knowledge; a
 * sample, so that eviction knows them. :n, how many of them are there.
 */
int zs_handle_touched(struct zs_call *call)
{
	int64_t touched = 0;

	for (size_t i = 1; i < call->argc && i <= TOUCHED_MAX; i++) {
		uint64_t hash;

		if (!parse_hash(&call->argv[i], &hash)) {
			zs_reply_error(call->reply, "ERR argument %zu is not a hash: 16 hex digits are", i);
			return ZS_OK;
		}
		touched += zs_touch_hash(call->thread, hash);
	}
	zs_reply_integer(call->reply, touched);
	return ZS_OK;
}
