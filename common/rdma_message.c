#include "common/rdma_message.h"

#include <stdio.h>
#include <string.h>

#include "common/error.h"
#include "common/layout.h"

#define MAGIC_HELLO 0x4f4c4c4548535a00ull
#define MAGIC_WELCOME 0x454d4f434c575a00ull
#define MAGIC_REFUSAL 0x4c41535546455a00ull

static void make_prefix(struct zs_rdma_prefix *prefix, uint64_t magic, size_t size)
{
	*prefix = (struct zs_rdma_prefix){ magic, ZS_RDMA_PROTOCOL, (uint16_t)size, ZS_LAYOUT_VERSION };
}

static uint64_t magic_of(enum zs_rdma_greeting kind)
{
	return kind == ZS_RDMA_HELLO ? MAGIC_HELLO : MAGIC_WELCOME;
}

void zs_rdma_hello_make(struct zs_rdma_hello *hello, enum zs_rdma_greeting kind, uint32_t window)
{
	make_prefix(&hello->prefix, magic_of(kind), sizeof(*hello));
	hello->window = window;
	hello->zero = 0;
}

void zs_rdma_refusal_make(struct zs_rdma_refusal *refusal, enum zs_rdma_refused reason)
{
	make_prefix(&refusal->prefix, MAGIC_REFUSAL, sizeof(*refusal));
	refusal->reason = reason;
	refusal->zero = 0;
}

/* Copies a message of `wanted` bytes, whose prefix must be right but for the layout version. */
static int copy(void *message, size_t wanted, uint64_t magic, const void *data, size_t size, char *why, size_t why_size)
{
	struct zs_rdma_prefix prefix;
	const uint8_t *bytes = data;

	if (size < wanted) {
		snprintf(why, why_size, "the peer sent %zu bytes where %zu were expected", size, wanted);
		return ZS_EPROTO;
	}
	memcpy(&prefix, data, sizeof(prefix));
	if (prefix.magic != magic) {
		snprintf(why, why_size, "the peer speaks another protocol: its first bytes are %016llx, not %016llx",
			 (unsigned long long)prefix.magic, (unsigned long long)magic);
		return ZS_EPROTO;
	}
	if (prefix.protocol != ZS_RDMA_PROTOCOL || prefix.size != wanted) {
		snprintf(why, why_size, "the peer's message is of version %u and %u bytes, not %u and %zu",
			 prefix.protocol, prefix.size, ZS_RDMA_PROTOCOL, wanted);
		return ZS_EPROTO;
	}
	for (size_t i = wanted; i < size; i++) {
		if (bytes[i]) {
			snprintf(why, why_size, "the peer's message goes on after its %zu bytes", wanted);
			return ZS_EPROTO;
		}
	}
	memcpy(message, data, wanted);
	return ZS_OK;
}

int zs_rdma_hello_check(struct zs_rdma_hello *hello, enum zs_rdma_greeting kind, const void *data, size_t size,
			char *why, size_t why_size)
{
	struct zs_rdma_hello copied;
	int error = copy(&copied, sizeof(copied), magic_of(kind), data, size, why, why_size);

	if (error)
		return error;
	if (copied.window < ZS_RDMA_WINDOW_MIN || copied.window > ZS_RDMA_WINDOW_MAX || copied.zero) {
		snprintf(why, why_size, "the peer takes %u messages at a time; %u to %u are possible", copied.window,
			 ZS_RDMA_WINDOW_MIN, ZS_RDMA_WINDOW_MAX);
		return ZS_EPROTO;
	}
	*hello = copied;
	if (hello->prefix.layout == ZS_LAYOUT_VERSION)
		return ZS_OK;
	snprintf(why, why_size, "the peer's layout version is %u, ours is %u", hello->prefix.layout, ZS_LAYOUT_VERSION);
	return ZS_EPROTO;
}

int zs_rdma_refusal_check(struct zs_rdma_refusal *refusal, const void *data, size_t size, char *why, size_t why_size)
{
	int error = copy(refusal, sizeof(*refusal), MAGIC_REFUSAL, data, size, why, why_size);

	if (!error && (refusal->reason >= ZS_RDMA_REFUSED_COUNT || refusal->zero)) {
		snprintf(why, why_size, "the node refused for reason %u, which is unknown", refusal->reason);
		return ZS_EPROTO;
	}
	return error;
}

const char *zs_rdma_refused_text(enum zs_rdma_refused reason)
{
	static const char *const texts[] = {
#define ZS_RDMA_REFUSED_TEXT(name, text) text,
		ZS_RDMA_REFUSALS(ZS_RDMA_REFUSED_TEXT)
#undef ZS_RDMA_REFUSED_TEXT
	};

	return reason < ZS_RDMA_REFUSED_COUNT ? texts[reason] : "?";
}
