/*
 * The settings of zslabd. The table in settings.c is the only place that knows them; everything else uses these names.
 */
#ifndef ZS_SERVER_NODE_SETTINGS_H
#define ZS_SERVER_NODE_SETTINGS_H

#include "common/options.h"

/* In the order of the table. */
enum zs_setting {
	ZS_SET_PORT,
	ZS_SET_BIND,
	ZS_SET_UNIXSOCKET,
	ZS_SET_UNIXSOCKETPERM,
	ZS_SET_TCP_BACKLOG,
	ZS_SET_TCP_KEEPALIVE,
	ZS_SET_PROTECTED_MODE,
	ZS_SET_REQUIREPASS,
	ZS_SET_MEMORY,
	ZS_SET_POLICY,
	ZS_SET_HUGE_PAGES,
	ZS_SET_PREFAULT,
	ZS_SET_WARM,
	ZS_SET_WARM_FORMAT,
	ZS_SET_WARM_WRITES_PER_DAY,
	ZS_SET_WARM_SECOND_CHANCE,
	ZS_SET_WARM_JOURNAL,
	ZS_SET_CRASH_DOMAIN,
	ZS_SET_QUARANTINE,
	ZS_SET_SHARED_MEMORY,
	ZS_SET_LEASE,
	ZS_SET_RDMA,
	ZS_SET_RDMA_CONNECTIONS,
	ZS_SET_WORKERS,
	ZS_SET_CPU_LIST,
	ZS_SET_IO,
	ZS_SET_MAXCLIENTS,
	ZS_SET_TIMEOUT,
	ZS_SET_OUTPUT_LIMIT,
	ZS_SET_OUTPUT_PAUSE,
	ZS_SET_QUERY_LIMIT,
	ZS_SET_BULK_LIMIT,
	ZS_SET_SHUTDOWN_TIMEOUT,
	ZS_SET_SLOWLOG_SLOWER_THAN,
	ZS_SET_SLOWLOG_MAX_LEN,
	ZS_SET_LATENCY_THRESHOLD,
	ZS_SET_LOGLEVEL,
	ZS_SET_LOGFILE,
	ZS_SET_COUNT,
};

/* The words of 'rdma'. */
enum zs_rdma_setting {
	ZS_RDMA_AUTO,
	ZS_RDMA_YES,
	ZS_RDMA_NO,
};

/* The table, ZS_SET_COUNT long. */
extern const struct zs_option zs_settings[];

/*
 * Checks what single values cannot show: a listener has to exist, and an address other hosts can reach needs a
 * password unless protected-mode is off. ZS_OK or ZS_ECONFIG.
 */
int zs_settings_check(struct zs_options *options, char *why, size_t why_size);

#endif
