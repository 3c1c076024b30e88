#include "server/node/sessions.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/lease.h"
#include "common/log.h"
#include "server/engine/engine.h"

/* Longer leases of a predecessor are not believed: no setting allows them. */
#define WAIT_MAX_NS (10 * UINT64_C(1000000000))

/* What the record holds. The host's CLOCK_BOOTTIME begins anew at every boot. */
struct record {
	char boot_id[36];
	uint32_t version;
	uint64_t until_ns;
};

static uint64_t now_ns(void)
{
	return zs_clock_ns(zs_clock_system());
}

/* ---- the record of what was granted ---- */

static void read_boot_id(char id[36])
{
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);

	memset(id, 0, 36);
	if (fd < 0)
		return;
	if (read(fd, id, 36) != 36)
		memset(id, 0, 36);
	close(fd);
}

/* Until when a process that is gone has granted leases; 0 if it has not. */
static uint64_t predecessors_leases(const char *path)
{
	struct record record;
	char boot_id[36];
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	bool whole;

	if (fd < 0)
		return 0;
	whole = read(fd, &record, sizeof(record)) == (ssize_t)sizeof(record);
	close(fd);
	read_boot_id(boot_id);
	if (!whole || record.version != ZS_LAYOUT_VERSION || memcmp(record.boot_id, boot_id, sizeof(boot_id)) != 0)
		return 0;
	return record.until_ns;
}

static void wait_out_predecessor(const char *path)
{
	uint64_t until = predecessors_leases(path);
	uint64_t now = now_ns();
	uint64_t left;
	struct timespec pause;

	if (until <= now)
		return;
	left = until - now < WAIT_MAX_NS ? until - now : WAIT_MAX_NS;
	zs_log(ZS_LOG_INFO, "waiting until the leases of the node that was here before are over",
	       zs_log_number("milliseconds", (int64_t)(left / 1000000)));
	pause = (struct timespec){ .tv_sec = (time_t)(left / 1000000000), .tv_nsec = (long)(left % 1000000000) };
	while (nanosleep(&pause, &pause) && errno == EINTR)
		;
}

/* Before any lease is granted until then. In the page cache it outlives this process, if not the host. */
static bool write_record(struct zs_sessions *s, uint64_t until_ns)
{
	struct record record = { .version = ZS_LAYOUT_VERSION, .until_ns = until_ns };

	if (s->record < 0) {
		s->record = open(s->record_path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (s->record < 0)
			return false;
	}
	read_boot_id(record.boot_id);
	return pwrite(s->record, &record, sizeof(record), 0) == (ssize_t)sizeof(record);
}

static void remove_record(struct zs_sessions *s)
{
	if (s->record < 0)
		return;
	close(s->record);
	s->record = -1;
	unlink(s->record_path);
}

/* ---- sessions ---- */

void zs_sessions_open(struct zs_sessions *s, struct zs_engine *engine, uint64_t lease_ms, uint64_t quarantine_ms,
		      const char *socket_path)
{
	*s = (struct zs_sessions){ .engine = engine,
				   .lease_ns = lease_ms * 1000000,
				   .quarantine_ns = quarantine_ms * 1000000,
				   .next_tag = 1,
				   .record = -1 };
	pthread_mutex_init(&s->lock, NULL);
	if (*socket_path)
		snprintf(s->record_path, sizeof(s->record_path), "%s.leases", socket_path);
	if (*s->record_path)
		wait_out_predecessor(s->record_path);
}

void zs_sessions_close(struct zs_sessions *s)
{
	for (unsigned i = 0; i < ZS_SESSIONS_MAX; i++)
		zs_engine_set_lease(s->engine, i, 0);
	remove_record(s);
	pthread_mutex_destroy(&s->lock);
}

static void note_granted(struct zs_sessions *s, uint64_t until)
{
	if (until > s->granted_until_ns)
		s->granted_until_ns = until;
}

/* Gives all sessions leases from now on. False if that could not be recorded; then they end as they are. */
static bool grant(struct zs_sessions *s, uint64_t now)
{
	uint64_t until = now + s->lease_ns;

	if (!write_record(s, until))
		return false;
	s->renewed_ns = now;
	note_granted(s, until);
	for (unsigned i = 0; i < ZS_SESSIONS_MAX; i++) {
		if (s->tags[i])
			zs_engine_set_lease(s->engine, i, zs_lease_word(until, s->tags[i]));
	}
	return true;
}

static unsigned free_index(const struct zs_sessions *s)
{
	unsigned i = 0;

	while (i < ZS_SESSIONS_MAX && s->tags[i])
		i++;
	return i;
}

static void free_session(struct zs_sessions *s, unsigned index)
{
	s->tags[index] = 0;
	s->count--;
	zs_engine_set_lease(s->engine, index, 0);
}

int zs_session_begin(struct zs_sessions *s, struct zs_session *session)
{
	int result = ZS_EFULL;
	unsigned index;

	session->tag = 0;
	pthread_mutex_lock(&s->lock);
	index = free_index(s);
	if (index == ZS_SESSIONS_MAX)
		goto unlock;
	zs_engine_expect_readers(s->engine, true);
	s->tags[index] = s->next_tag;
	s->next_tag = s->next_tag == UINT16_MAX ? 1 : (uint16_t)(s->next_tag + 1);
	s->count++;
	if (!grant(s, now_ns())) {
		free_session(s, index);
		result = ZS_ESYS;
		goto unlock;
	}
	*session = (struct zs_session){ .index = (uint16_t)index, .tag = s->tags[index] };
	result = ZS_OK;
unlock:
	pthread_mutex_unlock(&s->lock);
	return result;
}

void zs_session_end(struct zs_sessions *s, struct zs_session *session)
{
	if (!session->tag)
		return;
	pthread_mutex_lock(&s->lock);
	if (s->tags[session->index] == session->tag)
		free_session(s, session->index);
	pthread_mutex_unlock(&s->lock);
	session->tag = 0;
}

uint64_t zs_sessions_lease(struct zs_sessions *s)
{
	pthread_mutex_lock(&s->lock);
	zs_engine_expect_readers(s->engine, true);
	note_granted(s, now_ns() + s->lease_ns);
	pthread_mutex_unlock(&s->lock);
	return s->lease_ns / 1000000;
}

/* A reader whose session ended a moment ago may still copy what it will not believe; memory rests until that is over.
 */
static void forget_readers(struct zs_sessions *s, uint64_t now)
{
	if (s->count || !s->granted_until_ns || now < s->granted_until_ns + s->quarantine_ns)
		return;
	s->granted_until_ns = 0;
	zs_engine_expect_readers(s->engine, false);
	remove_record(s);
}

void zs_sessions_renew(struct zs_sessions *s)
{
	uint64_t now = now_ns();

	pthread_mutex_lock(&s->lock);
	if (!s->count)
		forget_readers(s, now);
	else if (now - s->renewed_ns >= s->lease_ns / 5 && !grant(s, now))
		zs_log(ZS_LOG_ERROR, "leases of shared-memory readers end: their record cannot be written",
		       zs_log_text("file", s->record_path), zs_log_text("error", strerror(errno)));
	pthread_mutex_unlock(&s->lock);
}

unsigned zs_sessions_count(struct zs_sessions *s)
{
	unsigned count;

	pthread_mutex_lock(&s->lock);
	count = s->count;
	pthread_mutex_unlock(&s->lock);
	return count;
}
