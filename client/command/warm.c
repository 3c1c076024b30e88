/* zslab warm: how the warm tiers of the nodes fare, from their INFO. */
#include <stdio.h>

#include "client/command/figures.h"
#include "client/command/verbs.h"

#define MB (1024.0 * 1024)

static const char *node_text; /* what the node said that is being shown */

static double warm(const char *name)
{
	char full[64];

	snprintf(full, sizeof(full), "zs_warm_%s", name);
	return zs_figure(node_text, full);
}

static double per(double a, double b)
{
	return b > 0 ? a / b : 0;
}

static void print_zones(void)
{
	printf("  tier      %.1f of %.1f MB written, %.0f objects\n", warm("written_bytes") / MB, warm("bytes") / MB,
	       warm("objects"));
	printf("  zones     %.0f of %.1f MB: %.0f empty, %.0f open, %.0f full, %.0f being given up, %.0f read-only, "
	       "%.0f offline\n",
	       warm("zones"), warm("zone_bytes") / MB, warm("zones_empty"), warm("zones_open"), warm("zones_full"),
	       warm("zones_evicting"), warm("zones_read_only"), warm("zones_offline"));
	printf("  streams   %.0f zones of objects that end within minutes, %.0f within a day, %.0f later\n",
	       warm("zones_short"), warm("zones_day"), warm("zones_long"));
}

static void print_writes(void)
{
	double admitted = warm("admitted_bytes");

	printf("  written   %.1f MB for %.1f MB of objects: %.3f times (headers and room %.3f, objects dead by then "
	       "%.3f)\n",
	       warm("appended_bytes") / MB, admitted / MB, warm("write_amplification"),
	       per(warm("overhead_bytes"), admitted), per(warm("dead_bytes"), admitted));
	printf("  pace      the whole tier %.2f times a day; %.0f zones reset; ", warm("writes_per_day"),
	       warm("resets"));
	if (warm("budget_bytes") > 0 || warm("budget_refusals") > 0)
		printf("%.1f MB may be written now, writing was stopped %.0f times\n", warm("budget_bytes") / MB,
		       warm("budget_refusals"));
	else
		printf("no budget\n");
	printf("  left      %.0f objects with their zones, %.0f got a second chance, %.0f were not admitted\n",
	       warm("given_up_objects"), warm("second_chances"), warm("refused_objects"));
}

static void print_reads(void)
{
	printf(
	    "  reads     %.0f hits, %.0f blocks read (%.0f found in memory), %.0f in vain; %.0f objects came back to "
	    "memory\n",
	    warm("hits"), warm("reads"), warm("cache_hits"), warm("vain_reads"), warm("promoted_objects"));
}

static void print_health(void)
{
	char start[32];
	char error[128];

	zs_figure_text(node_text, "zs_warm_start", start, sizeof(start));
	zs_figure_text(node_text, "zs_warm_last_error", error, sizeof(error));
	printf("  start     %s; ", start);
	if (warm("rebuilding") > 0)
		printf("reading: %.0f of %.0f zones, %.0f objects so far\n", warm("rebuilt_zones"), warm("zones"),
		       warm("rebuilt_objects"));
	else
		printf("%.0f objects found in %.0f ms\n", warm("rebuilt_objects"), warm("rebuild_ms"));
	printf("  errors    %.0f of appends, %.0f of reads, %.0f of resets%s%s\n", warm("append_errors"),
	       warm("read_errors"), warm("reset_errors"), *error ? "; the last: " : "", error);
	printf("  journal   %.1f %% full\n", 100 * per(warm("journal_chunks_used"), warm("journal_chunks")));
}

static int show(struct zslab *handle, size_t node)
{
	static char text[1 << 17];
	struct zslab_node_state state;

	if (zslab_stats(handle, node, "warm", text, sizeof(text), NULL)) {
		fprintf(stderr, "zslab: %s\n", zslab_error(handle));
		return EXIT_NODE;
	}
	node_text = text;
	printf("node %s\n", zslab_node_state(handle, node, &state) ? "" : state.address);
	if (warm("enabled") == 0) {
		printf("  has no warm tier; the setting 'warm' makes one\n");
		return EXIT_OK;
	}
	print_zones();
	print_writes();
	print_reads();
	print_health();
	return EXIT_OK;
}

int zs_verb_warm(struct zslab *handle, const struct arguments *a)
{
	int code = EXIT_OK;

	(void)a;
	for (size_t i = 0; i < zslab_node_count(handle); i++) {
		int one = show(handle, i);

		code = one == EXIT_OK ? code : one;
	}
	return code;
}
