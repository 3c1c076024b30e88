#include "server/node/settings.h"

#include <arpa/inet.h>
#include <limits.h>
#include <string.h>
#include <strings.h>

#include "common/error.h"
#include "server/engine/engine.h"

#define KB INT64_C(1024)
#define MB (KB * 1024)
#define GB (MB * 1024)

#define RUNTIME ZS_OPTION_RUNTIME

const struct zs_option zs_settings[] = {
	[ZS_SET_PORT] = { "port", ZS_OPTION_INTEGER, "7379", 0, 65535, 0, 0, 0,
			  "TCP port to listen on; 0 for no TCP at all." },
	[ZS_SET_BIND] = { "bind", ZS_OPTION_TEXT, "127.0.0.1", 0, 0, 0, 0, 0,
			  "Addresses to listen on, separated by spaces: IPv4, IPv6, or * for all. Only this host can "
			  "reach "
			  "the default." },
	[ZS_SET_UNIXSOCKET] = { "unixsocket", ZS_OPTION_TEXT, "", 0, 0, 0, 0, 0,
				"Path of a Unix socket to listen on as well; empty for none." },
	[ZS_SET_UNIXSOCKETPERM] = { "unixsocketperm", ZS_OPTION_MODE, "700", 0, 0777, 0, 0, 0,
				    "Permissions of the Unix socket." },
	[ZS_SET_TCP_BACKLOG] = { "tcp-backlog", ZS_OPTION_INTEGER, "511", 1, 65535, 0, 0, 0,
				 "Connections that may wait to be accepted." },
	[ZS_SET_TCP_KEEPALIVE] = { "tcp-keepalive", ZS_OPTION_DURATION, "300", 0, 86400, "s", 0, RUNTIME,
				   "After this much silence the kernel asks whether the peer is still there; 0: never. "
				   "For connections from now on." },
	[ZS_SET_PROTECTED_MODE] = { "protected-mode", ZS_OPTION_BOOL, "yes", 0, 1, 0, 0, 0,
				    "Refuse to start when other hosts could connect without a password." },
	[ZS_SET_REQUIREPASS] = { "requirepass", ZS_OPTION_TEXT, "", 0, 0, 0, 0, RUNTIME,
				 "Password that clients must give by AUTH or HELLO; empty: none is asked for." },
	[ZS_SET_MEMORY] = { "memory", ZS_OPTION_BYTES, "1gb", ZS_MEMORY_MIN, 65536 * GB, 0, 0, 0,
			    "Memory for objects and their index. It is reserved at start and never exceeded." },
	[ZS_SET_POLICY] = { "policy", ZS_OPTION_WORD, "s3fifo", 0, 0, 0, "s3fifo|lru|lfu|noeviction", RUNTIME,
			    "What makes room when memory is full; noeviction: writes are refused instead." },
	[ZS_SET_HUGE_PAGES] = { "huge-pages", ZS_OPTION_BOOL, "yes", 0, 1, 0, 0, 0,
				"Use huge pages for the memory where the host has them; reads are faster then." },
	[ZS_SET_PREFAULT] = { "prefault", ZS_OPTION_BOOL, "no", 0, 1, 0, 0, 0,
			      "Touch all memory at start. Starting takes longer, first writes are faster." },
	[ZS_SET_WARM] = { "warm", ZS_OPTION_TEXT, "", 0, 0, 0, 0, 0,
			  "PATH:SIZE of a warm tier, like /var/lib/zslab/warm:20gb: objects that memory has no room "
			  "for go there, and are there again after a restart. PATH is a folder, which is made if "
			  "there is none, or a zoned device, whole if there is no SIZE; empty: no warm tier." },
	[ZS_SET_WARM_FORMAT] = { "warm-format", ZS_OPTION_BOOL, "no", 0, 1, 0, 0, 0,
				 "Begin the warm tier anew, whatever is in it." },
	[ZS_SET_WARM_WRITES_PER_DAY] = { "warm-writes-per-day", ZS_OPTION_INTEGER, "0", 0, 1000, 0, 0, 0,
					 "How often a day the whole warm tier may be written, for the life of the "
					 "flash; what is evicted beyond that is lost. 0: any number." },
	[ZS_SET_WARM_SECOND_CHANCE] = { "warm-second-chance", ZS_OPTION_BOOL, "yes", 0, 1, 0, 0, 0,
					"Read a zone of the warm tier before it is given up, and keep objects that "
					"were read lately." },
	[ZS_SET_WARM_JOURNAL] = { "warm-journal", ZS_OPTION_TEXT, "", 0, 0, 0, 0, 0,
				  "A folder for what has to be known of a warm tier on a device after a restart; it "
				  "takes a sixteenth of the tier's size. Tiers of files have it in their own folder." },
	[ZS_SET_CRASH_DOMAIN] = { "crash-domain", ZS_OPTION_WORD, "process", 0, 0, 0, "process|host", 0,
				  "What may go down without the warm tier being lost. process: after the host went "
				  "down "
				  "it begins empty. host: not even then; a write of a key that is on flash waits until "
				  "the disk has the journal." },
	[ZS_SET_QUARANTINE] = { "quarantine", ZS_OPTION_DURATION, "20", 0, 10000, "ms", 0, 0,
				"How long freed memory rests while readers outside of the process exist." },
	[ZS_SET_SHARED_MEMORY] = { "shared-memory", ZS_OPTION_BOOL, "yes", 0, 1, 0, 0, RUNTIME,
				   "Let processes of the same user and of root, connected over the Unix socket, map "
				   "the "
				   "memory and read all objects by themselves. What is mapped cannot be taken back." },
	[ZS_SET_LEASE] = { "lease", ZS_OPTION_DURATION, "1000", 500, 10000, "ms", 0, 0,
			   "How long such readers believe what they read when they hear nothing from the node." },
	[ZS_SET_RDMA] = { "rdma", ZS_OPTION_WORD, "auto", 0, 0, 0, "auto|yes|no", 0,
			  "Serve clients over RDMA as well, at the first address of 'bind' that other hosts can reach, "
			  "same port; all of 'memory' is pinned then. auto: if that address is one of an RDMA "
			  "device." },
	[ZS_SET_RDMA_CONNECTIONS] = { "rdma-connections", ZS_OPTION_INTEGER, "1024", 1, 4096, 0, 0, 0,
				      "Most connections over RDMA at one time; they count for 'maxclients' too." },
	[ZS_SET_WORKERS] = { "workers", ZS_OPTION_INTEGER, "0", 0, 128, 0, 0, 0,
			     "Worker threads; 0: one for each CPU the process may use." },
	[ZS_SET_CPU_LIST] = { "cpu-list", ZS_OPTION_TEXT, "", 0, 0, 0, 0, 0,
			      "CPUs to pin the workers to, in turn, like 0,2-5; empty: the kernel places them." },
	[ZS_SET_IO] = { "io", ZS_OPTION_WORD, "auto", 0, 0, 0, "auto|uring|epoll", 0,
			"How sockets are served; auto: io_uring where the kernel grants it, else epoll." },
	[ZS_SET_MAXCLIENTS] = { "maxclients", ZS_OPTION_INTEGER, "10000", 1, 1000000, 0, 0, RUNTIME,
				"Most connections at one time; lowered at start if the system's limit on open files is "
				"lower." },
	[ZS_SET_TIMEOUT] = { "timeout", ZS_OPTION_DURATION, "0", 0, 31536000, "s", 0, RUNTIME,
			     "Connections that were idle for so long are closed; 0: never." },
	[ZS_SET_OUTPUT_LIMIT] = { "client-output-limit", ZS_OPTION_BYTES, "64mb", 64 * KB, 16 * GB, 0, 0, RUNTIME,
				  "A connection with more replies than this waiting to be read is closed." },
	[ZS_SET_OUTPUT_PAUSE] = { "client-output-pause", ZS_OPTION_BYTES, "256kb", 16 * KB, GB, 0, 0, RUNTIME,
				  "While more replies than this wait to be read, no further command of the connection "
				  "is run." },
	[ZS_SET_QUERY_LIMIT] = { "client-query-buffer-limit", ZS_OPTION_BYTES, "64mb", MB, 4 * GB, 0, 0, RUNTIME,
				 "Longest command, all its arguments together." },
	[ZS_SET_BULK_LIMIT] = { "proto-max-bulk-len", ZS_OPTION_BYTES, "512kb", 64 * KB, 512 * MB, 0, 0, RUNTIME,
				"Longest single argument of a command. Objects are limited to about 4,000 bytes in any "
				"case; up to this size an error says so and the connection goes on." },
	[ZS_SET_SHUTDOWN_TIMEOUT] = { "shutdown-timeout", ZS_OPTION_DURATION, "2", 0, 3600, "s", 0, RUNTIME,
				      "How long a stopping node waits for clients to take their last replies." },
	[ZS_SET_SLOWLOG_SLOWER_THAN] = { "slowlog-log-slower-than", ZS_OPTION_INTEGER, "10000", -1, INT_MAX, 0, 0,
					 RUNTIME,
					 "Commands that took more microseconds are put into SLOWLOG; -1: none." },
	[ZS_SET_SLOWLOG_MAX_LEN] = { "slowlog-max-len", ZS_OPTION_INTEGER, "128", 0, 100000, 0, 0, RUNTIME,
				     "Entries that SLOWLOG keeps." },
	[ZS_SET_LATENCY_THRESHOLD] = { "latency-monitor-threshold", ZS_OPTION_INTEGER, "0", 0, INT_MAX, 0, 0, RUNTIME,
				       "Events that took at least so many milliseconds are kept for LATENCY; 0: "
				       "none." },
	[ZS_SET_LOGLEVEL] = { "loglevel", ZS_OPTION_WORD, "info", 0, 0, 0, "debug|info|warn|error", RUNTIME,
			      "The least important events to log." },
	[ZS_SET_LOGFILE] = { "logfile", ZS_OPTION_TEXT, "", 0, 0, 0, 0, 0,
			     "File to log to, opened again at SIGHUP; empty: standard error." },
};

_Static_assert(sizeof(zs_settings) / sizeof(zs_settings[0]) == ZS_SET_COUNT, "a setting has no entry");

static bool is_loopback(const char *address)
{
	struct in6_addr v6;
	struct in_addr v4;

	if (strcasecmp(address, "localhost") == 0)
		return true;
	if (inet_pton(AF_INET, address, &v4) == 1)
		return (ntohl(v4.s_addr) >> 24) == 127;
	return inet_pton(AF_INET6, address, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

/* The first address of the list that other hosts can reach, or NULL. Cuts the list up. */
static const char *first_open_address(char *list)
{
	char *rest = 0;

	for (char *a = strtok_r(list, " \t", &rest); a; a = strtok_r(0, " \t", &rest)) {
		if (!is_loopback(a))
			return a;
	}
	return 0;
}

static bool text_is_empty(struct zs_options *options, enum zs_setting setting)
{
	char text[ZS_OPTION_TEXT_MAX];

	zs_options_text(options, setting, text);
	return text[strspn(text, " \t")] == 0;
}

int zs_settings_check(struct zs_options *options, char *why, size_t why_size)
{
	bool tcp = zs_options_number(options, ZS_SET_PORT) != 0;
	char list[ZS_OPTION_TEXT_MAX];
	const char *open;

	if (!tcp && text_is_empty(options, ZS_SET_UNIXSOCKET)) {
		snprintf(why, why_size, "nothing to listen on: 'port' is 0 and 'unixsocket' is empty; set one of them");
		return ZS_ECONFIG;
	}
	if (!tcp)
		return ZS_OK;
	if (text_is_empty(options, ZS_SET_BIND)) {
		snprintf(why, why_size,
			 "'bind' is empty: it must name an address, like 127.0.0.1; 'port = 0' turns TCP off");
		return ZS_ECONFIG;
	}
	zs_options_text(options, ZS_SET_BIND, list);
	open = first_open_address(list);
	if (open && zs_options_number(options, ZS_SET_PROTECTED_MODE) && text_is_empty(options, ZS_SET_REQUIREPASS)) {
		snprintf(
		    why, why_size,
		    "'bind' has %.64s, which other hosts can reach, but no password is asked for: set 'requirepass', "
		    "bind to 127.0.0.1 only, or turn 'protected-mode' off if the network is trusted",
		    open);
		return ZS_ECONFIG;
	}
	return ZS_OK;
}
