/*
 * Sessions of zslabd over RDMA, from outside: who may read, how many there may be and what each costs, and how they
 * end.
 *
 *   rdma_sessions PORT SESSIONS PID
 *
 * The node at ZS_RDMA_ADDRESS:PORT has the password "secret", a lease of LEASE_MS, and 'rdma-connections' of SESSIONS;
 * PID is its process.
 */
#include <arpa/inet.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/layout.h"
#include "test/rig/rdma_peer.h"

enum {
	LEASE_MS = 500,
	SILENCE_LEASES = 10, /* after so many the node gives a peer up */
	NONSENSE = 200,
	PINNED_MAX = 128 << 10, /* bytes for a session */
};

struct test {
	struct zs_rdma *rdma;
	struct sockaddr_in address;
	struct zs_rdma_memory *memory;
	unsigned count;
	int pid;
	struct peer *peers;
	_Alignas(64) uint8_t bytes[64];
};

__attribute__((format(printf, 1, 2))) static _Noreturn void fail(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fprintf(stderr, "FAILED: ");
	vfprintf(stderr, format, arguments);
	fprintf(stderr, "\n");
	va_end(arguments);
	_exit(1);
}

static void open_well(struct test *t, struct peer *peer)
{
	if (peer_open(peer, t->rdma, &t->address))
		fail("cannot connect: %s", peer->why);
}

static void expect(struct peer *peer, const char *command, const char *reply)
{
	if (peer_ask(peer, command, 1) || strncmp(peer->text, reply, strlen(reply)) != 0)
		fail("%s: expected %s, got %s %s", command, reply, peer->text, peer->why);
}

/* Whether the superblock of an arena can be read. */
static bool can_read(struct test *t, struct peer *peer)
{
	uint64_t magic;

	memset(t->bytes, 0, sizeof(t->bytes));
	if (peer_read(peer, t->memory, t->bytes, sizeof(t->bytes)))
		return false;
	memcpy(&magic, t->bytes + offsetof(struct zs_superblock, magic), sizeof(magic));
	return magic == ZS_LAYOUT_MAGIC;
}

static void attach_well(struct test *t, struct peer *peer)
{
	open_well(t, peer);
	expect(peer, "AUTH secret", "+OK");
	if (peer_attach(peer))
		fail("cannot attach: %s %s", peer->text, peer->why);
	if (!t->memory && zs_rdma_memory_add(t->rdma, t->bytes, sizeof(t->bytes), &t->memory))
		fail("cannot register memory");
	if (!can_read(t, peer))
		fail("cannot read in a session: %s", peer->why);
}

/* ---- who may read ---- */

static void test_rights(struct test *t)
{
	struct peer *good = &t->peers[0];
	struct peer *thief = &t->peers[1];

	attach_well(t, good);
	expect(good, "ZS.ATTACH 7", "-ERR this node's memory has layout 1");
	open_well(t, thief);
	expect(thief, "ZS.ATTACH 1", "-NOAUTH");
	expect(thief, "GET a", "-NOAUTH");
	expect(thief, "AUTH wrong", "-WRONGPASS");
	expect(thief, "PING", "-NOAUTH");
	if (zs_rdma_aim(thief->connection, &good->target) || can_read(t, thief))
		fail("read without having logged in");
	printf("who has not logged in reads nothing: %s\n", thief->why);
	open_well(t, thief);
	expect(thief, "AUTH secret", "+OK");
	expect(thief, "ZS.LEASE", "-ERR this connection has no session");
	if (zs_rdma_aim(thief->connection, &good->target) || can_read(t, thief))
		fail("read without a session");
	printf("nor who has no session: %s\n", thief->why);
	if (peer_ask(good, "ZS.LEASE", 3) || strncmp(good->text, "*2\r\n:500\r\n:", 11) != 0)
		fail("ZS.LEASE: got %s", good->text);
	peer_close(good);
}

/* A session ends with its reads: by CLIENT KILL, by RESET. */
static void test_ends(struct test *t)
{
	struct peer *admin = &t->peers[0];
	struct peer *victim = &t->peers[1];
	char command[64];
	long id;

	attach_well(t, admin);
	attach_well(t, victim);
	if (peer_ask(victim, "CLIENT ID", 1) || sscanf(victim->text, ":%ld", &id) != 1)
		fail("CLIENT ID: got %s", victim->text);
	snprintf(command, sizeof(command), "CLIENT LIST ID %ld", id);
	if (peer_ask(admin, command, 3) || !strstr(admin->text, "cmd=client|id") || strstr(admin->text, "addr=?"))
		fail("%s: got %s", command, admin->text);
	snprintf(command, sizeof(command), "CLIENT KILL ID %ld", id);
	expect(admin, command, ":1");
	if (peer_await_end(victim, 5) || can_read(t, victim))
		fail("a session goes on after CLIENT KILL");
	attach_well(t, victim);
	expect(victim, "RESET", "+RESET");
	if (peer_await_end(victim, 5))
		fail("a session goes on after RESET");
	peer_close(admin);
	printf("sessions end by CLIENT KILL and RESET\n");
}

/* ---- peers that do not behave ---- */

static void send_nonsense(struct test *t, unsigned seed)
{
	struct peer *peer = &t->peers[0];
	uint8_t bytes[3 * ZS_RDMA_MESSAGE_SIZE];
	size_t size = 1 + seed * 37 % sizeof(bytes);

	srand(seed);
	for (size_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)rand();
	/* What looks like the beginning of a command gets further. */
	if (seed % 2)
		memcpy(bytes, "*3\r\n$3\r\n", 8 < size ? 8 : size);
	open_well(t, peer);
	peer_send(peer, bytes, size);
	for (unsigned i = 0; i < 1000; i++)
		zs_rdma_pump(t->rdma);
	peer_close(peer);
	zs_rdma_pump(t->rdma);
}

static void test_nonsense(struct test *t)
{
	struct peer *peer = &t->peers[0];

	for (unsigned i = 0; i < NONSENSE; i++)
		send_nonsense(t, i);
	open_well(t, peer);
	expect(peer, "AUTH secret", "+OK");
	expect(peer, "PING", "+PONG");
	peer_close(peer);
	printf("the node lives after %u times nonsense\n", (unsigned)NONSENSE);
}

static void test_silence(struct test *t)
{
	struct peer *peer = &t->peers[0];

	open_well(t, peer);
	if (peer_await_end(peer, 2 * SILENCE_LEASES * LEASE_MS / 1000))
		fail("a peer that says nothing is kept for ever");
	printf("a peer that says nothing: %s\n", peer->why);
}

/* ---- many ---- */

static uint64_t node_pins_kb(const struct test *t)
{
	char line[256];
	char path[64];
	unsigned long long kb = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", t->pid);
	file = fopen(path, "r");
	while (file && fgets(line, sizeof(line), file) && sscanf(line, "VmPin: %llu", &kb) != 1)
		;
	if (!file || fclose(file))
		fail("cannot read %s", path);
	return kb;
}

static void renew(struct test *t, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		if (peer_ask(&t->peers[i], "ZS.LEASE", 3) || t->peers[i].text[0] != '*')
			fail("session %u of %u cannot renew its lease: %s %s", i, count, t->peers[i].text,
			     t->peers[i].why);
	}
}

static void test_many(struct test *t)
{
	struct peer *more = &t->peers[t->count];
	const struct zs_clock *clock = zs_clock_system();
	uint64_t renewed_ms = zs_clock_ms(clock);
	uint64_t pinned = node_pins_kb(t);
	const unsigned count = t->count;
	uint64_t each;

	if (!count)
		fail("there must be a session at least");
	for (unsigned i = 0; i < count; i++) {
		attach_well(t, &t->peers[i]);
		if (zs_clock_ms(clock) - renewed_ms < LEASE_MS)
			continue;
		renew(t, i + 1);
		renewed_ms = zs_clock_ms(clock);
	}
	renew(t, count);
	if (!peer_open(more, t->rdma, &t->address) || !strstr(more->why, "as many connections as it may have"))
		fail("one session more than allowed: %s", more->why);
	renew(t, count);
	for (unsigned i = 0; i < count; i++) {
		if (!can_read(t, &t->peers[i]))
			fail("session %u of %u cannot read: %s", i, count, t->peers[i].why);
	}
	each = (node_pins_kb(t) - pinned) * 1024 / count;
	/* The node's buffers for messages are there before. */
	if (peer_ask(&t->peers[0], "INFO memory", 30) || !strstr(t->peers[0].text, "zs_rdma_pinned_bytes:"))
		fail("INFO memory: got %s", t->peers[0].text);
	each += strtoull(strstr(t->peers[0].text, "zs_rdma_pinned_bytes:") + 21, NULL, 10) / count;
	printf("%u sessions, %" PRIu64 " bytes pinned for each\n", count, each);
	if (each > PINNED_MAX)
		fail("that is too much");
	for (unsigned i = 0; i < count; i++)
		peer_close(&t->peers[i]);
}

int main(int argc, char **argv)
{
	static struct test t;
	const char *address = getenv("ZS_RDMA_ADDRESS");
	struct zs_rdma_options options;
	char why[256] = "";

	if (argc != 4)
		fail("usage: %s PORT SESSIONS PID", argv[0]);
	t.address.sin_family = AF_INET;
	t.address.sin_port = htons((uint16_t)atoi(argv[1]));
	t.count = (unsigned)atoi(argv[2]);
	t.pid = atoi(argv[3]);
	if (!address || inet_pton(AF_INET, address, &t.address.sin_addr) != 1)
		fail("ZS_RDMA_ADDRESS is not the address of an RDMA device");
	setvbuf(stdout, NULL, _IOLBF, 0);
	t.peers = calloc(t.count + 1, sizeof(t.peers[0]));
	zs_rdma_options_init(&options);
	options.connections = t.count + 4;
	options.reads = 4;
	options.receives = 64;
	options.sends = 64;
	if (!t.peers || zs_rdma_open(&t.rdma, &options, why, sizeof(why)))
		fail("no endpoint: %s", why);
	test_rights(&t);
	test_ends(&t);
	test_nonsense(&t);
	test_silence(&t);
	test_many(&t);
	zs_rdma_memory_remove(t.memory);
	zs_rdma_free(t.rdma);
	free(t.peers);
	printf("rdma sessions work\n");
	return 0;
}
