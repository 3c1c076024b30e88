#include "bench/load.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/driver.h"
#include "bench/net.h"
#include "bench/scanner.h"

#define CARRY_MAX ((size_t)2 * ZS_SCANNER_LINE_MAX)
#define SLEEP_MS 100
/* Replies that stay away so long mean that the server is stuck. */
#define PATIENCE_NS 30000000000u

struct connection {
	int fd;
	bool active;  /* a batch is under way */
	bool sending; /* ... and not all of it has been sent */
	struct zs_scanner scanner;
	struct zs_text text; /* requests built ahead, or the batch under way */
	struct zs_batch *batches;
	uint64_t batch_count;
	uint64_t next_batch;
	const struct zs_batch *batch; /* the one under way */
	uint64_t target;	      /* scanner.replies at the end of it */
	uint64_t due;
	uint64_t values_before;
	size_t carry_size;
	char carry[CARRY_MAX]; /* an unfinished line, and what is needed to finish it */
};

struct load {
	const struct zs_load_options *options;
	struct zs_requests *requests;
	struct zs_load_result *result;
	struct zs_driver *driver;
	struct connection *connections;
	unsigned *idle; /* open loop: a stack of connections without a batch */
	unsigned idle_count;
	unsigned active_count;
	uint64_t now;
	uint64_t started; /* of the measurement; 0 during warm-up */
	uint64_t origin;  /* open loop: when the first batch was due */
	uint64_t batches_begun;
	uint64_t operations_begun;
	uint64_t last_progress;
	uint64_t busy_ns;
	bool ending; /* no batch is begun any more */
	bool failed;
};

static void fail(struct load *load, const char *what, const char *detail)
{
	if (!load->failed)
		fprintf(stderr, "%s: %s%s\n", load->options->server, what, detail);
	load->failed = true;
}

/* ---- batches ---- */

static const struct zs_batch *take_batch(struct load *load, struct connection *connection)
{
	uint64_t depth = load->options->depth;

	if (load->options->pool)
		return &connection->batches[connection->next_batch++ % connection->batch_count];
	if (load->options->total && load->options->total - load->operations_begun < depth)
		depth = load->options->total - load->operations_begun;
	connection->text.size = 0;
	if (zs_requests_build(load->requests, (unsigned)depth, &connection->text, connection->batches)) {
		fail(load, "out of memory", "");
		return NULL;
	}
	return connection->batches;
}

static void begin_batch(struct load *load, unsigned index, uint64_t due)
{
	struct connection *connection = &load->connections[index];
	const struct zs_batch *batch = take_batch(load, connection);

	if (!batch)
		return;
	connection->batch = batch;
	connection->active = true;
	connection->due = due;
	connection->target = connection->scanner.replies + batch->replies;
	connection->values_before = connection->scanner.values;
	load->active_count++;
	load->batches_begun++;
	load->operations_begun += batch->operations;
	if (load->options->total && load->operations_begun >= load->options->total)
		load->ending = true;
	connection->sending = !zs_driver_send(load->driver, index, connection->text.data + batch->offset, batch->size);
}

static void end_batch(struct load *load, unsigned index)
{
	struct connection *connection = &load->connections[index];

	connection->active = false;
	load->active_count--;
	if (load->started) {
		load->result->operations += connection->batch->operations;
		load->result->reads += connection->batch->reads;
		if (connection->batch->reads)
			load->result->hits += connection->scanner.values - connection->values_before;
	}
	if (load->options->rate > 0)
		load->idle[load->idle_count++] = index;
	else if (!load->ending)
		begin_batch(load, index, load->now);
}

/* Open loop: when the next batch is due. */
static uint64_t next_due(const struct load *load)
{
	double interval = 1e9 * load->options->depth / load->options->rate;

	return load->origin + (uint64_t)((double)load->batches_begun * interval);
}

static void begin_due_batches(struct load *load)
{
	while (load->idle_count && !load->ending && !load->failed) {
		uint64_t due = next_due(load);

		if (due > load->now)
			return;
		begin_batch(load, load->idle[--load->idle_count], due);
	}
}

/* ---- what the driver tells ---- */

static void check_done(struct load *load, unsigned index)
{
	struct connection *connection = &load->connections[index];

	if (connection->active && !connection->sending && connection->scanner.replies == connection->target)
		end_batch(load, index);
}

static bool scan(struct load *load, struct connection *connection, const char *data, size_t size, size_t *used)
{
	ssize_t result = zs_scanner_feed(&connection->scanner, data, size);

	if (result < 0) {
		fail(load, "", connection->scanner.first_error);
		return false;
	}
	*used = (size_t)result;
	return true;
}

/* Completes the unfinished line that is carried over. Returns how many bytes of the new data that took. */
static size_t finish_carry(struct load *load, struct connection *connection, const char *data, size_t size)
{
	size_t old = connection->carry_size;
	size_t more = size < CARRY_MAX - old ? size : CARRY_MAX - old;
	const char *newline = memchr(data, '\n', more);
	size_t used;

	if (newline)
		more = (size_t)(newline - data) + 1;
	memcpy(connection->carry + old, data, more);
	if (!scan(load, connection, connection->carry, old + more, &used))
		return size;
	connection->carry_size = used ? 0 : old + more;
	return more;
}

static void on_data(void *context, unsigned index, const char *data, size_t size)
{
	struct load *load = context;
	struct connection *connection = &load->connections[index];
	uint64_t before = connection->scanner.replies;
	size_t used = 0;

	while (connection->carry_size && size && !load->failed) {
		size_t taken = finish_carry(load, connection, data, size);

		data += taken;
		size -= taken;
	}
	if (load->failed || !scan(load, connection, data, size, &used))
		return;
	memcpy(connection->carry, data + used, size - used);
	connection->carry_size += size - used;
	load->now = zs_net_now();
	load->last_progress = load->now;
	if (connection->scanner.replies > connection->target || !connection->active) {
		fail(load, "more replies than requests", "");
		return;
	}
	if (load->started) {
		load->result->replies += connection->scanner.replies - before;
		zs_histogram_add(&load->result->latency, load->now - connection->due,
				 connection->scanner.replies - before);
	}
	check_done(load, index);
}

static void on_sent(void *context, unsigned index)
{
	struct load *load = context;

	load->connections[index].sending = false;
	check_done(load, index);
}

static void on_closed(void *context, unsigned index, int error)
{
	struct load *load = context;

	(void)index;
	fail(load, "the connection was closed", error ? strerror(error) : "");
}

/* ---- the run ---- */

static int build_ahead(struct load *load, struct connection *connection)
{
	uint64_t share = load->options->pool / load->options->connections;
	size_t room = 0;

	while (!connection->batch_count || connection->text.size < share) {
		if (connection->batch_count == room) {
			struct zs_batch *more;

			room = room ? 2 * room : 64;
			more = realloc(connection->batches, room * sizeof(*more));
			if (!more)
				return -1;
			connection->batches = more;
		}
		if (zs_requests_build(load->requests, load->options->depth, &connection->text,
				      &connection->batches[connection->batch_count]))
			return -1;
		connection->batch_count++;
	}
	return 0;
}

static int prepare(struct load *load, unsigned index)
{
	struct connection *connection = &load->connections[index];

	zs_scanner_init(&connection->scanner, load->requests->options.protocol);
	connection->batches = calloc(1, sizeof(*connection->batches));
	if (!connection->batches || (load->options->pool && build_ahead(load, connection))) {
		fail(load, "out of memory", "");
		return -1;
	}
	connection->fd = zs_net_connect(load->options->server);
	if (connection->fd < 0)
		return -1;
	if (!zs_net_nonblocking(connection->fd) || zs_driver_add(load->driver, connection->fd, index)) {
		fail(load, "cannot watch the connection", "");
		return -1;
	}
	load->idle[load->idle_count++] = index;
	return 0;
}

static void collect_errors(struct load *load)
{
	struct zs_load_result *result = load->result;

	for (unsigned i = 0; i < load->options->connections; i++) {
		const struct zs_scanner *scanner = &load->connections[i].scanner;

		result->errors += scanner->errors;
		if (scanner->first_error[0] && !result->first_error[0])
			memcpy(result->first_error, scanner->first_error, sizeof(result->first_error));
	}
}

static int step(struct load *load)
{
	uint64_t before = zs_net_now();
	int error = zs_driver_wait(load->driver, load->options->sleep && load->options->rate <= 0 ? SLEEP_MS : 0);

	if (error)
		fail(load, "waiting failed: ", strerror(-error));
	load->now = zs_net_now();
	if (load->started && load->last_progress >= before)
		load->busy_ns += load->now - before;
	if (load->active_count && load->now - load->last_progress > PATIENCE_NS)
		fail(load, "no reply for 30 seconds", "");
	return load->failed ? -1 : 0;
}

/* Runs until a time, or (0) until the wanted number of operations is through. */
static int run_until(struct load *load, uint64_t end)
{
	while (end ? load->now < end : !load->ending || load->active_count) {
		if (load->options->rate > 0)
			begin_due_batches(load);
		if (step(load))
			return -1;
	}
	return 0;
}

static int run(struct load *load)
{
	const struct zs_load_options *options = load->options;

	load->now = zs_net_now();
	load->last_progress = load->now;
	load->origin = load->now;
	if (options->total)
		load->started = load->now;
	while (options->rate <= 0 && load->idle_count && !load->ending && !load->failed)
		begin_batch(load, load->idle[--load->idle_count], load->now);
	if (!options->total && run_until(load, load->now + (uint64_t)(options->warmup * 1e9) + 1))
		return -1;
	if (!load->started)
		load->started = load->now;
	if (run_until(load, options->total ? 0 : load->started + (uint64_t)(options->seconds * 1e9)))
		return -1;
	load->result->seconds = (double)(load->now - load->started) / 1e9;
	load->result->busy = (double)load->busy_ns / (double)(load->now - load->started);
	collect_errors(load);
	return 0;
}

static void release(struct load *load)
{
	for (unsigned i = 0; load->connections && i < load->options->connections; i++) {
		if (load->connections[i].fd >= 0)
			close(load->connections[i].fd);
		free(load->connections[i].batches);
		free(load->connections[i].text.data);
	}
	free(load->connections);
	free(load->idle);
	if (load->driver)
		zs_driver_close(load->driver);
}

int zs_load_run(const struct zs_load_options *options, struct zs_requests *requests, struct zs_load_result *result)
{
	struct load load = { .options = options, .requests = requests, .result = result };
	const struct zs_driver_events events = { on_data, on_sent, on_closed, &load };
	int status = -1;

	memset(result, 0, sizeof(*result));
	load.connections = calloc(options->connections, sizeof(*load.connections));
	load.idle = calloc(options->connections, sizeof(*load.idle));
	if (!load.connections || !load.idle) {
		fail(&load, "out of memory", "");
		goto out;
	}
	for (unsigned i = 0; i < options->connections; i++)
		load.connections[i].fd = -1;
	load.driver = zs_driver_open(options->io, options->connections, &events);
	if (!load.driver)
		goto out;
	result->io = zs_driver_kind(load.driver);
	for (unsigned i = 0; i < options->connections; i++) {
		if (prepare(&load, i))
			goto out;
	}
	status = run(&load);
out:
	release(&load);
	return status;
}
