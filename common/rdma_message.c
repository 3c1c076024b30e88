#include "common/rdma_message.h"

#include <stdio.h>
#include <string.h>

#include "common/error.h"
#include "common/layout.h"

#define MAGIC_HELLO 0x4f4c4c4548535a00ull
#define MAGIC_WELCOME 0x454d4f434c575a00ull
#define MAGIC_REFUSAL 0x4c41535546455a00ull

/* No adapter reaches further, and no machine has more. */
#define ADDRESS_MAX (UINT64_C(1) << 57)
#define QUARANTINE_MAX_MS 10000u

static void make_prefix(struct zs_rdma_prefix *prefix, uint64_t magic, size_t size)
{
	*prefix = (struct zs_rdma_prefix){ magic, ZS_RDMA_PROTOCOL, (uint16_t)size, ZS_LAYOUT_VERSION };
}

void zs_rdma_hello_make(struct zs_rdma_hello *hello, const uint8_t *token)
{
	make_prefix(&hello->prefix, MAGIC_HELLO, sizeof(*hello));
	memcpy(hello->token, token, sizeof(hello->token));
}

void zs_rdma_welcome_make(struct zs_rdma_welcome *welcome)
{
	make_prefix(&welcome->prefix, MAGIC_WELCOME, sizeof(*welcome));
	welcome->zero = 0;
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

static int check_layout(const struct zs_rdma_prefix *prefix, char *why, size_t why_size)
{
	if (prefix->layout == ZS_LAYOUT_VERSION)
		return ZS_OK;
	snprintf(why, why_size, "the peer's layout version is %u, ours is %u", prefix->layout, ZS_LAYOUT_VERSION);
	return ZS_EPROTO;
}

int zs_rdma_hello_check(struct zs_rdma_hello *hello, const void *data, size_t size, char *why, size_t why_size)
{
	int error = copy(hello, sizeof(*hello), MAGIC_HELLO, data, size, why, why_size);

	return error ? error : check_layout(&hello->prefix, why, why_size);
}

int zs_rdma_welcome_check(struct zs_rdma_welcome *welcome, const void *data, size_t size, char *why, size_t why_size)
{
	int error = copy(welcome, sizeof(*welcome), MAGIC_WELCOME, data, size, why, why_size);

	if (!error)
		error = check_layout(&welcome->prefix, why, why_size);
	if (error)
		return error;
	if (welcome->arena_size < ZS_FRAME_SIZE || welcome->arena_size % ZS_FRAME_SIZE ||
	    welcome->arena_size > ADDRESS_MAX || welcome->arena_address > ADDRESS_MAX) {
		snprintf(why, why_size, "the node offers %llu bytes at %llx, which is no arena",
			 (unsigned long long)welcome->arena_size, (unsigned long long)welcome->arena_address);
		return ZS_EPROTO;
	}
	if (!welcome->quarantine_ms || welcome->quarantine_ms > QUARANTINE_MAX_MS) {
		snprintf(why, why_size, "the node's quarantine is %u ms; 1 to %u are possible", welcome->quarantine_ms,
			 QUARANTINE_MAX_MS);
		return ZS_EPROTO;
	}
	if (welcome->zero) {
		snprintf(why, why_size, "the node's welcome has %x where 0 belongs", welcome->zero);
		return ZS_EPROTO;
	}
	return ZS_OK;
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
