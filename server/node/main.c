#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/error.h"
#include "common/log.h"
#include "server/net/acceptor.h"
#include "server/node/cpus.h"
#include "server/node/node.h"

/* What is asked for beside the settings. */
struct request {
	bool help;
	bool version;
	bool check;
	bool sample;
	const char *config;
};

static const char usage[] = "zslabd " ZS_VERSION ": a cache for small objects that speaks the Redis protocol\n"
			    "\n"
			    "Usage: zslabd [--config FILE] [--SETTING VALUE]...\n"
			    "\n"
			    "  --config FILE    read settings from FILE; flags win over it\n"
			    "  --check          check the settings, say what is wrong, and exit with 0 or 1\n"
			    "  --print-config   print a configuration file with every setting at its default\n"
			    "  --help           print this\n"
			    "  --version        print the version\n"
			    "\n"
			    "Settings, as flags or as lines `name = value;` of the file:\n"
			    "\n";

static const char sample_head[] =
    "# Configuration of zslabd: every setting, at its default. All of them can also be given as flags\n"
    "# (--port 7380), which win over this file. `zslabd --config FILE --check` checks it.\n"
    "\n";

static struct zs_node node;

static int fail(const char *why)
{
	fprintf(stderr, "zslabd: %s\n", why);
	return 1;
}

/* Takes our own flags out of argv; the others move up. NULL, or what is wrong. */
static const char *take_request(int *argc, char **argv, struct request *request)
{
	int kept = 0;

	for (int i = 0; i < *argc; i++) {
		if (strcmp(argv[i], "--help") == 0) {
			request->help = true;
		} else if (strcmp(argv[i], "--version") == 0) {
			request->version = true;
		} else if (strcmp(argv[i], "--check") == 0) {
			request->check = true;
		} else if (strcmp(argv[i], "--print-config") == 0) {
			request->sample = true;
		} else if (strncmp(argv[i], "--config=", 9) == 0) {
			request->config = argv[i] + 9;
		} else if (strcmp(argv[i], "--config") == 0) {
			if (++i == *argc)
				return "--config: the path of the file is missing";
			request->config = argv[i];
		} else {
			argv[kept++] = argv[i];
		}
	}
	*argc = kept;
	return 0;
}

static int read_settings(int argc, char **argv, const char *config, char *why, size_t why_size)
{
	struct zs_cpus cpus;
	char list[ZS_OPTION_TEXT_MAX];
	int result = ZS_OK;

	if (config) {
		snprintf(node.config_path, sizeof(node.config_path), "%s", config);
		result = zs_options_read_file(&node.options, config, why, why_size);
	}
	if (!result)
		result = zs_options_read_flags(&node.options, argc, argv, why, why_size);
	if (!result)
		result = zs_settings_check(&node.options, why, why_size);
	if (!result) {
		zs_options_text(&node.options, ZS_SET_CPU_LIST, list);
		result = zs_cpus_parse(list, &cpus, why, why_size) ? ZS_OK : ZS_ECONFIG;
	}
	return result;
}

static bool open_log(char *why, size_t why_size)
{
	char path[ZS_OPTION_TEXT_MAX];

	zs_options_text(&node.options, ZS_SET_LOGFILE, path);
	zs_log_set_level((enum zs_log_level)zs_node_setting(&node, ZS_SET_LOGLEVEL));
	if (zs_log_open(path) == ZS_OK)
		return true;
	snprintf(why, why_size, "'logfile' %.256s cannot be opened: %s", path, strerror(errno));
	return false;
}

static int serve(void)
{
	char why[ZS_OPTION_WHY_MAX];
	int signal_fd;

	if (!open_log(why, sizeof(why)))
		return fail(why);
	signal_fd = zs_acceptor_signals();
	if (signal_fd < 0)
		return fail(strerror(errno));
	zs_log(ZS_LOG_INFO, "starting", zs_log_text("version", ZS_VERSION),
	       zs_log_text("config", *node.config_path ? node.config_path : "none"));
	if (zs_node_open(&node, why, sizeof(why)))
		return fail(why);
	zs_node_run(&node, signal_fd);
	zs_node_close(&node);
	return 0;
}

int main(int argc, char **argv)
{
	struct request request = { 0 };
	char why[ZS_OPTION_WHY_MAX];
	const char *wrong;
	int result = 0;

	argc--;
	argv++;
	wrong = take_request(&argc, argv, &request);
	if (wrong)
		return fail(wrong);
	if (zs_options_init(&node.options, zs_settings, ZS_SET_COUNT))
		return fail("not enough memory to start");
	if (request.help) {
		fputs(usage, stdout);
		zs_options_help(&node.options, stdout);
	} else if (request.version) {
		puts("zslabd " ZS_VERSION);
	} else if (request.sample) {
		fputs(sample_head, stdout);
		zs_options_sample(&node.options, stdout);
	} else if (read_settings(argc, argv, request.config, why, sizeof(why))) {
		result = fail(why);
	} else if (request.check) {
		puts("the settings are right");
	} else {
		result = serve();
	}
	zs_options_free(&node.options);
	return result;
}
