/* zslab-bench: load on a ZNS-Slab cache through libzslab, over any transport. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench/flags.h"
#include "bench/json.h"
#include "client/bench/worker.h"
#include "client/command/arguments.h"

/* Of the keys' popularity, where a workload asks for one. */
#define YCSB_ALPHA 0.99

#define ADDRESSES_MAX 1024
#define THREADS_MAX 256

struct settings {
	const char *address;
	const char *via;
	const char *user;
	const char *password_file;
	const char *workload;
	uint64_t keys;
	uint64_t value_size;
	uint64_t batch;
	uint64_t threads;
	uint64_t sample;
	uint64_t timeout_ms;
	double seconds;
	double alpha;
	bool json;
	bool quiet;
	bool list;
};

struct total {
	struct zs_histogram histogram;
	uint64_t operations;
	uint64_t keys;
	uint64_t misses;
	uint64_t errors;
	uint64_t wrong;
	double seconds;
	struct zslab_counters counters;
};

static struct settings settings = {
	.address = "127.0.0.1:7379",
	.via = "auto",
	.workload = "get",
	.keys = 1000000,
	.value_size = 128,
	.batch = 100,
	.threads = 1,
	.sample = 1,
	.timeout_ms = 1000,
	.seconds = 10,
	.alpha = YCSB_ALPHA,
};

static const struct zs_flag flags[] = {
	{ "address", ZS_FLAG_TEXT, &settings.address, 0, 0, "A,...", "nodes: host:port or unix:/path, in their order" },
	{ "via", ZS_FLAG_TEXT, &settings.via, 0, 0, "WAY", "auto, shm, rdma or tcp" },
	{ "user", ZS_FLAG_TEXT, &settings.user, 0, 0, "NAME", "log in as this user" },
	{ "password-file", ZS_FLAG_TEXT, &settings.password_file, 0, 0, "FILE", "the password is its first line" },
	{ "workload", ZS_FLAG_TEXT, &settings.workload, 0, 0, "NAME", "what to do; --list shows what there is" },
	{ "keys", ZS_FLAG_NUMBER, &settings.keys, 1, 4e9, "N", "keys, of 16 bytes; loaded first if they are absent" },
	{ "value-size", ZS_FLAG_NUMBER, &settings.value_size, 0, ZSLAB_OBJECT_MAX - ZS_BENCH_KEY_SIZE, "BYTES",
	  "of each value" },
	{ "seconds", ZS_FLAG_REAL, &settings.seconds, 0.01, 1e6, "S", "to measure, after loading" },
	{ "batch", ZS_FLAG_NUMBER, &settings.batch, 1, ZS_BENCH_BATCH_MAX, "N", "keys of a multi-get" },
	{ "threads", ZS_FLAG_NUMBER, &settings.threads, 1, THREADS_MAX, "N", "threads, each with its own handle" },
	{ "sample", ZS_FLAG_NUMBER, &settings.sample, 1, 1e6, "N",
	  "take the time of every Nth operation; reading the clock costs tens of nanoseconds" },
	{ "zipf", ZS_FLAG_REAL, &settings.alpha, 0, 10, "ALPHA", "how unequal keys are, where they are" },
	{ "timeout", ZS_FLAG_NUMBER, &settings.timeout_ms, 1, 3600000, "MS", "of each operation" },
	{ "json", ZS_FLAG_SWITCH, &settings.json, 0, 0, NULL, "print the result as JSON" },
	{ "quiet", ZS_FLAG_SWITCH, &settings.quiet, 0, 0, NULL, "show no progress" },
	{ "list", ZS_FLAG_SWITCH, &settings.list, 0, 0, NULL, "print the workloads" },
};

static const struct zs_program program = {
	"zslab-bench",
	"Measures a ZNS-Slab cache through libzslab, over sockets, shared memory or RDMA.",
	flags,
	sizeof(flags) / sizeof(flags[0]),
};

static struct zs_run run;
static atomic_bool interrupted;

static void interrupt(int number)
{
	(void)number;
	atomic_store(&interrupted, true);
	atomic_store(&run.stop, true); /* of loading */
}

/* ---- setting up ---- */

static size_t split_addresses(char *text, const char **addresses)
{
	size_t count = 0;
	char *rest = NULL;

	for (char *one = strtok_r(text, ",", &rest); one; one = strtok_r(NULL, ",", &rest)) {
		if (count == ADDRESSES_MAX)
			zs_flags_fail(&program, "--address takes at most %d nodes", ADDRESSES_MAX);
		addresses[count++] = one;
	}
	if (!count)
		zs_flags_fail(&program, "--address takes at least one node");
	return count;
}

static void take_options(void)
{
	run.options.client_name = "zslab-bench";
	run.options.timeout_ms = (unsigned)settings.timeout_ms;
	run.options.user = settings.user;
	if (!zs_via_parse(settings.via, &run.options.via))
		zs_flags_fail(&program, "--via takes auto, shm, rdma or tcp, not '%s'", settings.via);
	if (!settings.password_file)
		return;
	run.options.password = zs_password_read(settings.password_file);
	if (!run.options.password)
		exit(EXIT_USAGE);
}

static void set_up(void)
{
	static const char *addresses[ADDRESSES_MAX];
	static char *text;

	run.workload = zs_workload_find(settings.workload);
	if (!run.workload)
		zs_flags_fail(&program, "there is no workload '%s'; --list shows what there is", settings.workload);
	text = strdup(settings.address);
	run.address_count = text ? split_addresses(text, addresses) : 0;
	run.addresses = addresses;
	take_options();
	run.keys = settings.keys;
	run.value_size = settings.value_size;
	run.batch = (unsigned)settings.batch;
	run.threads = (unsigned)settings.threads;
	run.sample = (unsigned)settings.sample;
	if (run.workload->spread != ZS_SPREAD_UNIFORM && zs_zipf_open(&run.zipf, run.keys, settings.alpha))
		zs_flags_fail(&program, "not enough memory for %llu keys", (unsigned long long)run.keys);
	pthread_barrier_init(&run.barrier, NULL, run.threads + 1);
}

static struct zs_worker *start_workers(void)
{
	size_t values = ZS_BENCH_BATCH_MAX * run.value_size + 1;
	struct zs_worker *workers = aligned_alloc(64, run.threads * sizeof(*workers));

	if (!workers)
		return NULL;
	memset(workers, 0, run.threads * sizeof(*workers));
	for (unsigned i = 0; i < run.threads; i++) {
		struct zs_worker *w = &workers[i];

		w->run = &run;
		w->number = i;
		w->random.state = i;
		w->values = calloc(1, values);
		w->value = calloc(1, run.value_size + 1);
		if (!w->values || !w->value || pthread_create(&w->thread, NULL, zs_worker_main, w))
			zs_flags_fail(&program, "thread %u cannot be started: %s", i, strerror(errno));
	}
	return workers;
}

/* ---- while it runs ---- */

static bool shows_progress(void)
{
	return !settings.quiet && isatty(STDERR_FILENO);
}

static void show_progress(const struct zs_worker *workers, unsigned threads, double seconds, uint64_t *before)
{
	uint64_t operations = 0;
	uint64_t loaded = 0;
	uint64_t errors = 0;

	for (unsigned i = 0; i < threads; i++) {
		operations += atomic_load_explicit(&workers[i].operations, memory_order_relaxed);
		loaded += atomic_load_explicit(&workers[i].loaded, memory_order_relaxed);
		errors += atomic_load_explicit(&workers[i].errors, memory_order_relaxed);
	}
	if (operations)
		fprintf(stderr, "\r%5.0f s of %.0f  %12llu operations/s  %llu errors   ", seconds, settings.seconds,
			(unsigned long long)(operations - *before), (unsigned long long)errors);
	else
		fprintf(stderr, "\rloading: %llu of %llu keys   ", (unsigned long long)loaded,
			(unsigned long long)settings.keys);
	*before = operations;
}

struct progress {
	const struct zs_worker *workers;
	unsigned threads;
	uint64_t began_ns; /* of the measurement; 0: loading */
	pthread_t thread;
	atomic_bool ends;
};

/* A thread, as the main one waits for the others at the barrier. */
static void *show_all(void *context)
{
	struct progress *p = context;
	const struct timespec tick = { 0, 50000000 };
	uint64_t before = 0;

	for (unsigned i = 1; !atomic_load(&p->ends); i++) {
		uint64_t began = __atomic_load_n(&p->began_ns, __ATOMIC_RELAXED);

		nanosleep(&tick, NULL);
		if (i % 20 == 0)
			show_progress(p->workers, p->threads, began ? (double)(zs_bench_now() - began) / 1e9 : 0,
				      &before);
	}
	fputs("\r\033[K", stderr);
	return NULL;
}

/* Until the time is over, or somebody has enough. */
static void wait_for_end(uint64_t began)
{
	const struct timespec tick = { 0, 5000000 };

	while (!atomic_load(&interrupted) && !atomic_load(&run.failed) &&
	       (double)(zs_bench_now() - began) < settings.seconds * 1e9)
		nanosleep(&tick, NULL);
	atomic_store(&run.stop, true);
}

/* ---- results ---- */

static void add_counters(struct zslab_counters *sum, const struct zslab_counters *one)
{
	sum->shm_hits += one->shm_hits;
	sum->shm_misses += one->shm_misses;
	sum->shm_doubts += one->shm_doubts;
	sum->rdma_hits += one->rdma_hits;
	sum->rdma_asks += one->rdma_asks;
	sum->rdma_reads += one->rdma_reads;
	sum->rdma_bytes += one->rdma_bytes;
	sum->requests += one->requests;
	sum->repeated += one->repeated;
	sum->feedback += one->feedback;
}

static void add_up(const struct zs_worker *workers, unsigned threads, struct total *total)
{
	for (unsigned i = 0; i < threads; i++) {
		const struct zs_worker *w = &workers[i];

		zs_histogram_merge(&total->histogram, &w->histogram);
		total->operations += w->operations;
		total->keys += w->keys;
		total->misses += w->misses;
		total->errors += w->errors;
		total->wrong += w->wrong;
		if ((double)w->busy_ns / 1e9 > total->seconds)
			total->seconds = (double)w->busy_ns / 1e9;
		add_counters(&total->counters, &w->counters);
	}
}

static double per_second(uint64_t count, const struct total *total)
{
	return total->seconds > 0 ? (double)count / total->seconds : 0;
}

static bool print_json(const struct total *t)
{
	struct zs_json json;

	if (!zs_json_open(&json, "-"))
		return false;
	zs_json_text(&json, "workload", run.workload->name);
	zs_json_text(&json, "via", settings.via);
	zs_json_text(&json, "address", settings.address);
	zs_json_number(&json, "keys", run.keys);
	zs_json_number(&json, "value_size", run.value_size);
	zs_json_number(&json, "batch", run.batch);
	zs_json_number(&json, "threads", run.threads);
	zs_json_real(&json, "seconds", t->seconds);
	zs_json_number(&json, "operations", t->operations);
	zs_json_real(&json, "ops_per_sec", per_second(t->operations, t));
	zs_json_real(&json, "keys_per_sec", per_second(t->keys, t));
	zs_json_real(&json, "mean_ns", zs_histogram_mean(&t->histogram));
	zs_json_number(&json, "p50_ns", zs_histogram_percentile(&t->histogram, 50));
	zs_json_number(&json, "p90_ns", zs_histogram_percentile(&t->histogram, 90));
	zs_json_number(&json, "p99_ns", zs_histogram_percentile(&t->histogram, 99));
	zs_json_number(&json, "p999_ns", zs_histogram_percentile(&t->histogram, 99.9));
	zs_json_number(&json, "max_ns", t->histogram.longest);
	zs_json_number(&json, "errors", t->errors);
	zs_json_number(&json, "wrong_values", t->wrong);
	zs_json_number(&json, "misses", t->misses);
	zs_json_number(&json, "shm_hits", t->counters.shm_hits);
	zs_json_number(&json, "shm_misses", t->counters.shm_misses);
	zs_json_number(&json, "shm_doubts", t->counters.shm_doubts);
	zs_json_number(&json, "rdma_hits", t->counters.rdma_hits);
	zs_json_number(&json, "rdma_asks", t->counters.rdma_asks);
	zs_json_number(&json, "rdma_reads", t->counters.rdma_reads);
	zs_json_number(&json, "rdma_bytes", t->counters.rdma_bytes);
	zs_json_number(&json, "requests", t->counters.requests);
	zs_json_number(&json, "repeated", t->counters.repeated);
	return zs_json_close(&json);
}

static void print_human(const struct total *t)
{
	static const double percents[] = { 50, 90, 99, 99.9, 100 };

	printf("%s over %s: %llu operations in %.2f s, %.0f per second", run.workload->name, settings.via,
	       (unsigned long long)t->operations, t->seconds, per_second(t->operations, t));
	if (t->keys != t->operations)
		printf(", %.0f keys per second", per_second(t->keys, t));
	printf("\nlatency, ns: mean %.0f", zs_histogram_mean(&t->histogram));
	for (size_t i = 0; i < sizeof(percents) / sizeof(percents[0]); i++)
		printf(", p%g %llu", percents[i],
		       (unsigned long long)zs_histogram_percentile(&t->histogram, percents[i]));
	printf("\n%llu misses, %llu errors (%llu wrong values); %llu keys from shared memory, %llu by RDMA READ, %llu "
	       "requests\n",
	       (unsigned long long)t->misses, (unsigned long long)t->errors, (unsigned long long)t->wrong,
	       (unsigned long long)t->counters.shm_hits, (unsigned long long)t->counters.rdma_hits,
	       (unsigned long long)t->counters.requests);
}

static void free_workers(struct zs_worker *workers)
{
	for (unsigned i = 0; i < run.threads; i++) {
		free(workers[i].values);
		free(workers[i].value);
	}
	free(workers);
	if (run.zipf.count)
		zs_zipf_close(&run.zipf);
}

static void measure(struct zs_worker *workers)
{
	struct progress progress = { .workers = workers, .threads = run.threads };
	bool shows = shows_progress() && !pthread_create(&progress.thread, NULL, show_all, &progress);

	pthread_barrier_wait(&run.barrier); /* all are loaded */
	if (!atomic_load(&run.failed))
		atomic_store(&run.stop, false);
	__atomic_store_n(&progress.began_ns, zs_bench_now(), __ATOMIC_RELAXED);
	pthread_barrier_wait(&run.barrier); /* all begin */
	wait_for_end(progress.began_ns);
	pthread_barrier_wait(&run.barrier); /* all have ended */
	atomic_store(&progress.ends, true);
	if (shows)
		pthread_join(progress.thread, NULL);
	for (unsigned i = 0; i < run.threads; i++)
		pthread_join(workers[i].thread, NULL);
}

int main(int argc, char **argv)
{
	static struct total total;
	struct zs_worker *workers;

	zs_flags_parse(&program, argc, argv);
	if (settings.list) {
		zs_workload_print();
		return EXIT_OK;
	}
	set_up();
	signal(SIGINT, interrupt);
	signal(SIGTERM, interrupt);
	workers = start_workers();
	if (!workers)
		zs_flags_fail(&program, "not enough memory for %u threads", run.threads);
	measure(workers);
	add_up(workers, run.threads, &total);
	free_workers(workers);
	if (atomic_load(&run.failed))
		return EXIT_NODE;
	if (!settings.json)
		print_human(&total);
	else if (!print_json(&total))
		return EXIT_NODE;
	return total.errors ? EXIT_NODE : EXIT_OK;
}
