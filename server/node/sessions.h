/*
 * Sessions of readers outside of this process.
 *
 * Those on this host read the arena through a mapping of their own. Such a session has a lease: a word of the
 * superblock that says until when its reads may be believed. The main thread moves all leases on every fifth of their
 * length. So readers stop believing within one length when this process is frozen or killed, and at once when it ends
 * their session.
 *
 * A process that starts where another one granted leases must not acknowledge a write before they are over. The file
 * `<unixsocket>.leases` says until when that is; it is there as long as there is a session.
 *
 * All functions may be called by any thread.
 */
#ifndef ZS_SERVER_NODE_SESSIONS_H
#define ZS_SERVER_NODE_SESSIONS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/layout.h"

struct zs_engine;

/* One session, as its owner keeps it. */
struct zs_session {
	uint16_t index;
	uint16_t tag; /* 0: no session */
};

struct zs_sessions {
	pthread_mutex_t lock;
	struct zs_engine *engine;
	uint64_t lease_ns;
	uint64_t quarantine_ns;
	uint64_t renewed_ns;
	uint64_t granted_until_ns; /* no lease lasts longer; 0: none was granted since all were surely over */
	uint16_t next_tag;
	uint16_t tags[ZS_SESSIONS_MAX]; /* 0: free */
	unsigned count;
	int record;		/* the file; -1: none */
	char record_path[4096]; /* empty: sessions are not possible */
};

/*
 * `socket_path` is the Unix socket that sessions come by; empty if there is none. Waits until the leases of a process
 * that served there before are over, at most ten seconds. The engine outlives the sessions.
 */
void zs_sessions_open(struct zs_sessions *sessions, struct zs_engine *engine, uint64_t lease_ms, uint64_t quarantine_ms,
		      const char *socket_path);

/* Ends all sessions. */
void zs_sessions_close(struct zs_sessions *sessions);

/* Begins a session. ZS_OK; ZS_EFULL if there are ZS_SESSIONS_MAX; ZS_ESYS if the record cannot be written (errno). */
int zs_session_begin(struct zs_sessions *sessions, struct zs_session *session);

/* Ends it: nothing that is read from now on is believed. No session (tag 0) is fine. */
void zs_session_end(struct zs_sessions *sessions, struct zs_session *session);

/*
 * A lease for a reader over RDMA, who counts it himself: how long it is, in ms. Nothing of it is recorded, because his
 * reads end with this process.
 */
uint64_t zs_sessions_lease(struct zs_sessions *sessions);

/* Moves the leases on, if it is time. To be called at least ten times in the length of a lease. */
void zs_sessions_renew(struct zs_sessions *sessions);

unsigned zs_sessions_count(struct zs_sessions *sessions);

#endif
