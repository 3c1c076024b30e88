/*
 * One-sided reads over RDMA (rdma_path.h), of a real engine in another process.
 *
 *   rdma_read --reads N [--baseline-us X]
 *
 * A node fills its memory and writes to it all the time; this process reads it without the node's help, and proves
 * each value: it is whole, of the right key, not older than the last write that had returned before the read began, not
 * expired. Before and after that: peers that talk nonsense, reads without a session, nobody there, bytes that go there
 * and back, a session that is revoked, a node that is killed. X is the median of ib_read_lat for one READ of
 * OBJECT_SIZE bytes, printed beside ours.
 *
 * Needs ZS_RDMA_ADDRESS; a machine without a device fails.
 */
#include <arpa/inet.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test/rig/rdma_path.h"
#include "test/rig/rdma_plain.h"
#include "test/rig/rdma_session.h"
#include "test/rig/rdma_truth.h"

enum {
	GETS = 8,
	NONSENSE = 70,
	IMPOSTURES = 24,
	MEASURED = 2000,
	ECHO_BYTES = 2 << 20,
	LOCATION_MEMORY = 64 << 10, /* too little for all keys: cold reads never end */
};

struct client {
	struct truth *truth;
	struct zs_rdma *rdma;
	struct zs_rdma_reader *reader;
	struct session session;
	struct zs_rdma_get gets[GETS];
	const struct zs_clock *clock;
	uint64_t random;
	uint64_t hits, round_trips, reconnections;
	uint64_t asks[ZS_ASK_COUNT];
	uint64_t seen[RACE_KEYS];
};

/* What was known when a read began. */
struct expectation {
	char name[KEY_MAX];
	unsigned key;
	uint64_t lowest;
	uint64_t began_ms;
};

/* One node is read, one waits to be killed. */
enum { NODE, SECOND_NODE, IMPOSTOR, CHILDREN };

static pid_t children[CHILDREN];

static void end_children(void)
{
	for (unsigned i = 0; i < CHILDREN; i++) {
		if (children[i] > 0) {
			kill(children[i], SIGKILL);
			waitpid(children[i], NULL, 0);
		}
		children[i] = 0;
	}
}

__attribute__((format(printf, 1, 2))) static _Noreturn void fail(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fprintf(stderr, "FAILED: ");
	vfprintf(stderr, format, arguments);
	fprintf(stderr, "\n");
	va_end(arguments);
	end_children();
	_exit(1);
}

static void check_children(void)
{
	int status;

	for (unsigned i = 0; i < CHILDREN; i++) {
		if (children[i] > 0 && waitpid(children[i], &status, WNOHANG) == children[i]) {
			children[i] = 0;
			fail("child %u ended with status %x", i, (unsigned)status);
		}
	}
}

/* ---- connecting ---- */

static void order(struct client *c, enum order what)
{
	atomic_store(&c->truth->order, (int)what);
	while (atomic_load(&c->truth->obeyed) != (int)what) {
		check_children();
		zs_rdma_pump(c->rdma);
	}
}

/* Until the session is there or over; then it says why. */
static bool connect_to(struct client *c, struct sockaddr_in address)
{
	struct session *s = &c->session;

	session_begin(s, address);
	while (!s->opened && !s->why[0]) {
		check_children();
		zs_rdma_pump(c->rdma);
	}
	if (s->opened)
		session_ask(s);
	while (!s->why[0] && zs_rdma_reader_state(c->reader) != ZS_RDMA_READER_READY) {
		check_children();
		zs_rdma_pump(c->rdma);
	}
	return !s->why[0];
}

static void connect_well(struct client *c)
{
	if (!connect_to(c, c->truth->address))
		fail("cannot connect: %s", c->session.why);
}

static void await_end(struct client *c)
{
	while (c->session.connection)
		zs_rdma_pump(c->rdma);
}

static void expect_down(struct client *c, struct sockaddr_in address, const char *reason)
{
	if (connect_to(c, address))
		fail("connected, but expected: %s", reason);
	if (!strstr(c->session.why, reason))
		fail("expected \"%s\", got \"%s\"", reason, c->session.why);
}

static void await_sessions(struct client *c, uint64_t count)
{
	while (atomic_load(&c->truth->sessions) != count) {
		check_children();
		zs_rdma_pump(c->rdma);
	}
}

static void test_refusals(struct client *c)
{
	uint64_t refused;

	if (send_nonsense(c->truth, NONSENSE) || send_hello_and_vanish(c->truth))
		fail("see above");
	connect_well(c);
	await_sessions(c, 1);
	refused = atomic_load(&c->truth->refused);
	if (refused != 4 * NONSENSE || atomic_load(&c->truth->opened) != 1)
		fail("the node refused %" PRIu64 " and opened %" PRIu64 " sessions", refused,
		     atomic_load(&c->truth->opened));
	printf("refused %" PRIu64 " requests that were nonsense\n", refused);
}

static void open_well(struct client *c, struct plain *plain)
{
	plain->rdma = c->rdma;
	if (plain_open(plain, &c->truth->address))
		fail("no plain connection: %s", plain->why);
}

/* Keys of sessions that were or are granted are no use to a connection that was granted nothing. */
static void test_without_session(struct client *c)
{
	struct plain thief = { 0 };

	connect_well(c);
	open_well(c, &thief);
	if (zs_rdma_aim(thief.connection, &c->session.answer.target))
		fail("cannot aim");
	if (plain_read(&thief))
		fail("a connection without a session has read");
	zs_rdma_memory_remove(thief.memory);
	printf("a connection without a session reads nothing: %s\n", thief.why);
}

static void test_strange_nodes(struct client *c)
{
	struct sockaddr_in address = c->truth->address;

	address.sin_port = htons((uint16_t)(path_port() + 1));
	for (unsigned i = 0; i < IMPOSTURES; i++) {
		if (connect_to(c, address))
			fail("connected to an impostor");
	}
	address.sin_port = htons((uint16_t)(path_port() + 2));
	expect_down(c, address, "no node listens there");
	address = c->truth->address;
	address.sin_addr.s_addr ^= htonl(0xc8); /* the same network, nobody's address */
	expect_down(c, address, "no connection came about");
	await_sessions(c, 0);
	printf("gave up on %u impostors, a closed port and a dead host\n", (unsigned)IMPOSTURES);
}

/* ---- measuring ---- */

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a;
	uint64_t y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static uint64_t get_still(struct client *c, unsigned key, unsigned *round_trips)
{
	struct zs_rdma_get *get = &c->gets[0];
	char name[KEY_MAX];
	size_t size = make_key(key, name);
	const char *what = "it was not found";
	uint64_t began_ns = zs_clock_ns(c->clock);
	uint64_t took_ns;

	zs_rdma_reader_start(c->reader, get, name, size, began_ns);
	while (get->status == ZS_STEPS_FETCH)
		zs_rdma_pump(c->rdma);
	took_ns = zs_clock_ns(c->clock) - began_ns;
	*round_trips = get->steps.round_trips;
	if (get->status == ZS_STEPS_ASK)
		return 0;
	if (number_of(key, &get->steps.value, get->steps.data, &what) != 1)
		fail("key %u, which never changes: %s", key, what);
	return took_ns;
}

/* A get of a key whose location is known, or that of no key is; again without a lease, or if it was slow. */
static uint64_t get_surely(struct client *c, unsigned key, bool hot, uint64_t *all_trips)
{
	unsigned trips;
	uint64_t ns;

	do {
		if (hot)
			get_still(c, key, &trips);
		else
			zs_locations_clear(zs_rdma_reader_remote(c->reader)->locations);
		ns = get_still(c, key, &trips);
		if (!ns)
			connect_well(c);
	} while (!ns);
	*all_trips += trips;
	return ns;
}

static double median_us(uint64_t *times)
{
	const uint64_t *middle = &times[MEASURED / 2];

	qsort(times, MEASURED, sizeof(times[0]), compare);
	return (double)*middle / 1000;
}

/* The three kinds in turn, so that what else goes on in the machine meets all of them. */
static void measure(struct client *c, double baseline_us)
{
	static uint64_t times[3][MEASURED];
	static struct plain plain;
	uint64_t trips[2] = { 0, 0 };
	double us[3];

	open_well(c, &plain);
	if (plain_ask(&plain))
		fail("no plain session: %s", plain.why);
	for (unsigned i = 0; i < MEASURED; i++) {
		times[0][i] = plain_read(&plain);
		if (!times[0][i])
			fail("plain READs ended: %s", plain.why);
		times[1][i] = get_surely(c, RACE_KEYS + i % STILL_KEYS, true, &trips[0]);
		times[2][i] = get_surely(c, RACE_KEYS + i % STILL_KEYS, false, &trips[1]);
	}
	zs_rdma_close(plain.connection);
	zs_rdma_memory_remove(plain.memory);
	for (unsigned i = 0; i < 3; i++)
		us[i] = median_us(times[i]);
	printf("objects of %u bytes, medians: hot GET %.1f us (%.2f round trips), cold GET %.1f us (%.2f)\n",
	       (unsigned)OBJECT_SIZE, us[1], (double)trips[0] / MEASURED, us[2], (double)trips[1] / MEASURED);
	printf("one READ of as many bytes at the same time: %.1f us, so %.2f x and %.2f x\n", us[0], us[1] / us[0],
	       us[2] / us[0]);
	if (baseline_us > 0)
		printf("ib_read_lat, before: %.1f us, so %.2f x and %.2f x\n", baseline_us, us[1] / baseline_us,
		       us[2] / baseline_us);
	if (trips[0] > MEASURED * 101 / 100 || trips[1] > MEASURED * 5 / 2)
		fail("a hot read should take one round trip and a cold one two");
}

/* ---- the race ---- */

static void begin(struct client *c, struct zs_rdma_get *get, struct expectation *e)
{
	e->key = draw_key(&c->random);
	e->lowest = atomic_load(&c->truth->lines[e->key].done);
	e->began_ms = zs_clock_ms(c->clock);
	zs_rdma_reader_start(c->reader, get, e->name, make_key(e->key, e->name), zs_clock_ns(c->clock));
}

static void judge(struct client *c, const struct zs_rdma_get *get, const struct expectation *e)
{
	const struct zs_steps *steps = &get->steps;
	const char *what;
	uint64_t number;

	c->round_trips += steps->round_trips;
	if (get->status == ZS_STEPS_ASK) {
		c->asks[steps->reason]++;
		return;
	}
	number = number_of(e->key, &steps->value, steps->data, &what);
	if (what)
		fail("key %u: %s", e->key, what);
	if (number < e->lowest)
		fail("key %u: write %" PRIu64 " was read after %" PRIu64 " had returned", e->key, number, e->lowest);
	if (number > atomic_load(&c->truth->lines[e->key].begun))
		fail("key %u: write %" PRIu64 " was read before it was begun", e->key, number);
	if (number < c->seen[e->key])
		fail("key %u: write %" PRIu64 " was read after %" PRIu64 " had been", e->key, number, c->seen[e->key]);
	if (steps->value.deadline && steps->value.deadline <= e->began_ms)
		fail("key %u: read %" PRIu64 " ms after it had expired", e->key, e->began_ms - steps->value.deadline);
	c->seen[e->key] = number;
	c->hits++;
}

static void finish(struct client *c, struct expectation *expectations)
{
	for (unsigned i = 0; i < GETS; i++) {
		struct zs_rdma_get *get = &c->gets[i];

		while (get->status == ZS_STEPS_FETCH)
			zs_rdma_pump(c->rdma);
		judge(c, get, &expectations[i]);
	}
}

/* Until so many values were believed; without a lease it connects again, for another one. */
static void race(struct client *c, uint64_t reads)
{
	static struct expectation expectations[GETS];
	uint64_t packets = path_received();
	uint64_t posted = zs_rdma_reader_reads(c->reader);
	uint64_t without_lease = 0;

	order(c, ORDER_WRITE);
	while (c->hits < reads) {
		check_children();
		for (unsigned i = 0; i < GETS; i++)
			begin(c, &c->gets[i], &expectations[i]);
		finish(c, expectations);
		if (c->asks[ZS_ASK_LEASE] > without_lease) {
			without_lease = c->asks[ZS_ASK_LEASE];
			c->reconnections++;
			connect_well(c);
		}
	}
	order(c, ORDER_REST);
	packets = path_received() - packets;
	posted = zs_rdma_reader_reads(c->reader) - posted;
	printf("race: %" PRIu64 " values believed, none wrong, %" PRIu64 " writes, %" PRIu64 " deletions, %" PRIu64
	       " round trips, %" PRIu64 " leases ended\n",
	       c->hits, atomic_load(&c->truth->writes), atomic_load(&c->truth->deletions), c->round_trips,
	       c->reconnections);
	for (unsigned i = 0; i < ZS_ASK_COUNT; i++)
		printf("%s%s %" PRIu64, i ? ", " : "asked the node: ", zs_ask_reason_text((enum zs_ask_reason)i),
		       c->asks[i]);
	printf("\n%" PRIu64 " READs posted, %" PRIu64 " packets received by the device\n", posted, packets);
	if (packets < posted || posted < c->hits)
		fail("the device did not carry these reads");
	if (c->asks[ZS_ASK_RESTARTED])
		fail("another incarnation was seen, though there was none");
}

/* ---- ends ---- */

/* One get, over a connection that is broken or about to be. */
static void expect_failure(struct client *c, const char *when)
{
	struct zs_rdma_get *get = &c->gets[0];
	char name[KEY_MAX];

	zs_rdma_reader_start(c->reader, get, name, make_key(RACE_KEYS, name), zs_clock_ns(c->clock));
	while (get->status == ZS_STEPS_FETCH)
		zs_rdma_pump(c->rdma);
	if (get->status != ZS_STEPS_ASK)
		fail("a value was read %s", when);
}

static void expect_success(struct client *c, const char *when)
{
	unsigned trips;
	bool found = false;

	/* One that is slow is not believed; then it is tried again. */
	for (unsigned i = 0; i < 10 && !found; i++)
		found = get_still(c, RACE_KEYS, &trips);
	if (!found)
		fail("cannot read %s", when);
}

static void test_revocation(struct client *c)
{
	connect_well(c);
	expect_success(c, "before the revocation");
	order(c, ORDER_REVOKE);
	expect_failure(c, "after the session was revoked");
	await_end(c);
	printf("after the revocation: %s\n", c->session.why);
	order(c, ORDER_REST);
	connect_well(c);
	expect_success(c, "in a new session");
}

static void test_killed(struct client *c, struct truth *second)
{
	c->truth = second;
	connect_well(c);
	expect_success(c, "from another node");
	kill(children[SECOND_NODE], SIGKILL);
	waitpid(children[SECOND_NODE], NULL, 0);
	children[SECOND_NODE] = 0;
	await_end(c);
	printf("after the node was killed: %s\n", c->session.why);
	expect_failure(c, "from a node that was killed");
}

/* A node that ends by itself gives back all it had: its exit code says so under a sanitizer. */
static void test_end(struct client *c)
{
	int status = 0;

	atomic_store(&c->truth->order, ORDER_END);
	if (waitpid(children[NODE], &status, 0) != children[NODE] || status)
		fail("the node ended with status %x", (unsigned)status);
	children[NODE] = 0;
	await_end(c);
	printf("%" PRIu64 " objects expired on the node\n", atomic_load(&c->truth->expired));
	if (!atomic_load(&c->truth->expired))
		fail("nothing expired, so expiry was not tested");
}

/* ---- running ---- */

/* Before any use of librdmacm: what it has is not inherited. */
static void start_node(unsigned child, struct truth *truth)
{
	children[child] = fork();
	if (!children[child]) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		exit(run_node(truth));
	}
	while (!atomic_load(&truth->serving)) {
		check_children();
		usleep(1000);
	}
}

static void start_impostor(const struct truth *truth)
{
	children[IMPOSTOR] = fork();
	if (!children[IMPOSTOR]) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		run_impostor(truth);
	}
}

static struct truth *make_truth(uint16_t port)
{
	const char *address = getenv("ZS_RDMA_ADDRESS");
	struct truth *truth = mmap(NULL, sizeof(*truth), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (truth == MAP_FAILED)
		fail("no memory");
	truth->address.sin_family = AF_INET;
	truth->address.sin_port = htons(port);
	if (!address || inet_pton(AF_INET, address, &truth->address.sin_addr) != 1)
		fail("ZS_RDMA_ADDRESS is not the address of an RDMA device");
	return truth;
}

static void open_client(struct client *c, struct truth *truth)
{
	struct zs_rdma_reader_events events = { .unfit = session_unfit, .context = &c->session };
	struct zs_rdma_options options;
	char why[256] = "";

	c->truth = truth;
	c->clock = zs_clock_system();
	c->random = 0xc11e47;
	zs_rdma_options_init(&options);
	options.connections = 4;
	if (zs_rdma_open(&c->rdma, &options, why, sizeof(why)))
		fail("%s", why);
	c->reader = zs_rdma_reader_new(c->rdma, LOCATION_MEMORY, &events);
	if (!c->reader)
		fail("no memory");
	c->session.rdma = c->rdma;
	c->session.reader = c->reader;
}

int main(int argc, char **argv)
{
	static struct client client;
	uint64_t reads = 0;
	double baseline_us = 0;
	struct truth *truth;
	struct truth *second;

	for (int i = 1; i + 1 < argc; i += 2) {
		if (strcmp(argv[i], "--reads") == 0)
			reads = strtoull(argv[i + 1], NULL, 10);
		else if (strcmp(argv[i], "--baseline-us") == 0)
			baseline_us = strtod(argv[i + 1], NULL);
	}
	if (!reads) {
		fprintf(stderr, "usage: %s --reads N [--baseline-us X]\n", argv[0]);
		return 2;
	}
	if (!path_prepare())
		return 1;
	setvbuf(stdout, NULL, _IOLBF, 0);
	truth = make_truth(path_port());
	second = make_truth((uint16_t)(path_port() + 3));
	zs_clock_ms(zs_clock_system()); /* its origin is shared by all processes */
	start_node(NODE, truth);
	start_node(SECOND_NODE, second);
	start_impostor(truth);
	open_client(&client, truth);
	printf("memory windows: %s\n", atomic_load(&truth->has_windows) ? "they work, and are used" : "none that work");
	test_refusals(&client);
	test_without_session(&client);
	session_close(&client.session);
	test_strange_nodes(&client);
	connect_well(&client);
	if (check_echo(&client.session, ECHO_BYTES, 100000000))
		fail("see above");
	measure(&client, baseline_us);
	race(&client, reads);
	test_revocation(&client);
	test_end(&client);
	test_killed(&client, second);
	session_close(&client.session);
	zs_rdma_reader_free(client.reader);
	zs_rdma_free(client.rdma);
	end_children();
	printf("rdma reads work\n");
	return 0;
}
