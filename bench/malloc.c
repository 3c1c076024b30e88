/*
 * bench-malloc: what objects cost in plain malloc, the least that a cache with one allocation to an object can pay: key
 * and value in one block, a deadline in front of it if objects have one, and one pointer to the block in a table that
 * is exactly full. No lengths, no links, no order of use.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench/flags.h"
#include "bench/json.h"
#include "bench/random.h"

#define CHECK_EVERY 4096

static uint64_t memory = 1u << 30;
static uint64_t key_size = 16;
static struct zs_range value_size = { 128, 128 };
static bool deadline;
static const char *json_path;

static const struct zs_flag flags[] = {
	{ "memory", ZS_FLAG_NUMBER, &memory, 1 << 20, 64e9, "BYTES", "resident memory to fill" },
	{ "key-size", ZS_FLAG_NUMBER, &key_size, 1, 512, "BYTES", "bytes of a key" },
	{ "value-size", ZS_FLAG_RANGE, &value_size, 0, 1 << 20, "BYTES", "of values: N or LOW..HIGH" },
	{ "deadline", ZS_FLAG_SWITCH, &deadline, 0, 0, NULL, "8 bytes for a deadline with each object" },
	{ "json", ZS_FLAG_TEXT, &json_path, 0, 0, "FILE", "results as JSON; - for standard output" },
};

static const struct zs_program program = {
	"bench-malloc",
	"Stores objects in plain malloc until so much memory is resident, and reports the bytes that an object takes "
	"beyond\n"
	"its key and value.",
	flags,
	sizeof(flags) / sizeof(flags[0]),
};

/* Bytes of resident memory of this process; 0 if the kernel does not tell. */
static uint64_t resident(void)
{
	FILE *file = fopen("/proc/self/statm", "re");
	unsigned long long pages = 0;

	if (!file)
		return 0;
	if (fscanf(file, "%*s %llu", &pages) != 1)
		pages = 0;
	fclose(file);
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/*
 * Fills up to the wanted memory. Returns the objects stored, and their keys and values in *payload. 0: out of memory.
 */
static uint64_t fill(char **table, uint64_t capacity, uint64_t start, uint64_t *payload)
{
	uint64_t count = 0;

	while (count < capacity && (count % CHECK_EVERY || resident() - start < memory)) {
		size_t value = value_size.low + zs_mix(count + 1) % (value_size.high - value_size.low + 1);
		size_t size = (deadline ? 8 : 0) + key_size + value;

		table[count] = malloc(size);
		if (!table[count])
			return 0;
		memset(table[count], 'x', size);
		*payload += key_size + value;
		count++;
	}
	return count;
}

int main(int argc, char **argv)
{
	struct zs_json json;
	uint64_t capacity;
	uint64_t payload = 0;
	uint64_t start;
	uint64_t growth;
	uint64_t count;
	double per_object;
	char **table;

	zs_flags_parse(&program, argc, argv);
	/* Only the part of the table that is used becomes resident. */
	capacity = memory / (key_size + value_size.low + 8) + CHECK_EVERY;
	table = mmap(NULL, capacity * sizeof(*table), PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (table == MAP_FAILED) {
		perror("bench-malloc: mmap");
		return 1;
	}
	start = resident();
	count = fill(table, capacity, start, &payload);
	growth = resident() - start;
	if (!start || !count) {
		fprintf(stderr, "bench-malloc: %s\n", start ? "out of memory" : "/proc/self/statm cannot be read");
		return 1;
	}
	per_object = (double)(growth - payload) / (double)count;
	if (!json_path || strcmp(json_path, "-") != 0)
		printf("%" PRIu64 " objects, %.1f MB resident, %.2f bytes each beyond key and value\n", count,
		       (double)growth / (1 << 20), per_object);
	if (!json_path)
		return 0;
	if (!zs_json_open(&json, json_path)) {
		perror(json_path);
		return 1;
	}
	zs_json_number(&json, "objects", count);
	zs_json_number(&json, "rss_growth", growth);
	zs_json_number(&json, "payload", payload);
	zs_json_real(&json, "bytes_beyond_payload", per_object);
	if (!zs_json_close(&json)) {
		perror(json_path);
		return 1;
	}
	return 0;
}
