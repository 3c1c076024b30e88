/*
 * Keys and queue pairs of this process, in memory that peers map: with that, and with a descriptor of the process's
 * memory, they READ without its help.
 *
 * A key is looked at before and after the bytes are copied, so that none is of use once soft_key_free has returned.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#include "test/fake/soft/soft.h"

enum {
	KEYS = 8192,
	NUMBERS = 8192,
	TORN_PIECE = 64,
};

struct key {
	_Atomic uint32_t key; /* 0: none */
	_Atomic uint32_t rights;
	_Atomic uint32_t number;
	_Atomic uint64_t address;
	_Atomic uint64_t length;
};

struct pair {
	_Atomic uint32_t number; /* 0: none */
	_Atomic uint32_t door;
};

struct soft_table {
	struct key keys[KEYS];
	struct pair pairs[NUMBERS];
};

static struct soft_peer self = { .memory = -1 };
static int table_fd = -1;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint32_t key_turn;
static uint32_t number_turn;
static bool key_used[KEYS];

/* ---- this process ---- */

static void open_self(void)
{
	void *map;

	table_fd = memfd_create("soft-verbs", MFD_CLOEXEC);
	if (table_fd < 0 || ftruncate(table_fd, sizeof(struct soft_table)))
		return;
	map = mmap(NULL, sizeof(struct soft_table), PROT_READ | PROT_WRITE, MAP_SHARED, table_fd, 0);
	if (map == MAP_FAILED)
		return;
	self.table = map;
	self.memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
}

const struct soft_peer *soft_self(void)
{
	pthread_once(&once, open_self);
	return &self;
}

void soft_self_descriptors(int descriptors[2])
{
	descriptors[0] = soft_self()->memory;
	descriptors[1] = table_fd;
}

int soft_peer_open(struct soft_peer *peer, const int descriptors[2])
{
	void *map = mmap(NULL, sizeof(struct soft_table), PROT_READ | PROT_WRITE, MAP_SHARED, descriptors[1], 0);

	close(descriptors[1]);
	if (map == MAP_FAILED) {
		close(descriptors[0]);
		return -1;
	}
	*peer = (struct soft_peer){ descriptors[0], map };
	return 0;
}

void soft_peer_close(struct soft_peer *peer)
{
	if (!peer->table || peer->table == self.table)
		return;
	munmap(peer->table, sizeof(struct soft_table));
	close(peer->memory);
}

/* ---- keys ---- */

static struct key *key_of(struct soft_table *table, uint32_t key)
{
	return &table->keys[(key >> 8) % KEYS];
}

uint32_t soft_key_new(void)
{
	uint32_t key = 0;

	pthread_mutex_lock(&lock);
	for (unsigned i = 0; !key && i < KEYS; i++) {
		uint32_t turn = ++key_turn;

		if (key_used[turn % KEYS])
			continue;
		key_used[turn % KEYS] = true;
		key = (turn % KEYS) << 8 | (turn / KEYS & 0xff);
	}
	pthread_mutex_unlock(&lock);
	return key;
}

void soft_key_set(uint32_t key, uint64_t address, uint64_t length, unsigned rights, uint32_t number)
{
	struct key *k = key_of(self.table, key);

	atomic_store(&k->key, 0);
	atomic_store(&k->address, address);
	atomic_store(&k->length, length);
	atomic_store(&k->rights, rights);
	atomic_store(&k->number, number);
	atomic_store(&k->key, key);
}

void soft_key_free(uint32_t key)
{
	atomic_store(&key_of(self.table, key)->key, 0);
	pthread_mutex_lock(&lock);
	key_used[(key >> 8) % KEYS] = false;
	pthread_mutex_unlock(&lock);
}

static bool allows(struct key *k, uint32_t key, uint32_t number, uint64_t address, uint64_t length, unsigned rights)
{
	uint64_t base;
	uint64_t size;

	if (!key || atomic_load(&k->key) != key || (atomic_load(&k->rights) & rights) != rights)
		return false;
	if (atomic_load(&k->number) && atomic_load(&k->number) != number)
		return false;
	base = atomic_load(&k->address);
	size = atomic_load(&k->length);
	return address >= base && address - base <= size && length <= size - (address - base);
}

bool soft_key_allows(uint32_t key, uint64_t address, uint64_t length, unsigned rights)
{
	return allows(key_of(self.table, key), key, 0, address, length, rights);
}

/* ---- queue pairs ---- */

static struct pair *pair_of(struct soft_table *table, uint32_t number)
{
	return &table->pairs[number % NUMBERS];
}

uint32_t soft_number_new(void)
{
	uint32_t number = 0;

	pthread_mutex_lock(&lock);
	for (unsigned i = 0; !number && i < NUMBERS; i++) {
		/* 24 bits, as everywhere. */
		uint32_t turn = ++number_turn & 0xffffff;
		struct pair *pair = pair_of(self.table, turn);

		if (!turn || atomic_load(&pair->number))
			continue;
		atomic_store(&pair->door, SOFT_DOOR_SHUT);
		atomic_store(&pair->number, turn);
		number = turn;
	}
	pthread_mutex_unlock(&lock);
	return number;
}

void soft_number_free(uint32_t number)
{
	struct pair *pair = pair_of(self.table, number);

	atomic_store(&pair->door, SOFT_DOOR_SHUT);
	atomic_store(&pair->number, 0);
}

/* A door that the peer's request broke stays broken. */
void soft_door_set(uint32_t number, enum soft_door door)
{
	struct pair *pair = pair_of(self.table, number);
	uint32_t present = atomic_load(&pair->door);

	while (present != SOFT_DOOR_BROKEN && !atomic_compare_exchange_weak(&pair->door, &present, door))
		;
}

enum soft_door soft_door_of(const struct soft_peer *peer, uint32_t number)
{
	struct pair *pair = pair_of(peer->table, number);
	uint32_t door = atomic_load(&pair->door);

	return atomic_load(&pair->number) == number ? (enum soft_door)door : SOFT_DOOR_SHUT;
}

static void break_door(const struct soft_peer *peer, uint32_t number)
{
	struct pair *pair = pair_of(peer->table, number);
	uint32_t present = atomic_load(&pair->door);

	while (atomic_load(&pair->number) == number && (present == SOFT_DOOR_OPEN || present == SOFT_DOOR_READ) &&
	       !atomic_compare_exchange_weak(&pair->door, &present, SOFT_DOOR_BROKEN))
		;
}

/* ---- reading ---- */

/* A process that has died has no memory any more: nothing is read then. */
static bool copy(int memory, uint8_t *to, uint32_t size, uint64_t address)
{
	for (uint32_t done = 0; done < size;) {
		ssize_t count = pread(memory, to + done, size - done, (off_t)(address + done));

		if (count <= 0 && (!count || errno != EINTR))
			return false;
		done += count > 0 ? (uint32_t)count : 0;
	}
	return true;
}

static bool copy_torn(int memory, uint8_t *to, uint32_t size, uint64_t address)
{
	uint32_t pieces = (size + TORN_PIECE - 1) / TORN_PIECE;

	while (pieces--) {
		uint32_t start = pieces * TORN_PIECE;
		uint32_t end = start + TORN_PIECE < size ? start + TORN_PIECE : size;

		if (!copy(memory, to + start, end - start, address + start))
			return false;
		sched_yield();
	}
	return true;
}

enum soft_answer soft_peer_read(const struct soft_peer *peer, uint32_t number, uint32_t key, uint64_t address, void *to,
				uint32_t size)
{
	struct key *k = key_of(peer->table, key);
	enum soft_door door = soft_door_of(peer, number);
	bool whole;

	if (door != SOFT_DOOR_OPEN && door != SOFT_DOOR_READ)
		return SOFT_SILENCE;
	if (door == SOFT_DOOR_OPEN || !allows(k, key, number, address, size, IBV_ACCESS_REMOTE_READ)) {
		break_door(peer, number);
		return SOFT_DENIED;
	}
	whole =
	    soft_get(soft_tear) ? copy_torn(peer->memory, to, size, address) : copy(peer->memory, to, size, address);
	if (!whole || soft_door_of(peer, number) != SOFT_DOOR_READ)
		return SOFT_SILENCE;
	if (allows(k, key, number, address, size, IBV_ACCESS_REMOTE_READ))
		return SOFT_DONE;
	break_door(peer, number);
	return SOFT_DENIED;
}
