#include "common/link.h"

#include <string.h>

enum {
	ROUNDS = 8,
	SMALL = 64,
	/* Where another READ costs less than that, it is an adapter that has better uses for its bandwidth. */
	WORTH_NS = 1000,
};

void zs_link_begin(struct zs_link *link)
{
	*link = (struct zs_link){ .number = 1 };
	memset(link->least_ns, 0xff, sizeof(link->least_ns));
}

bool zs_link_is_tried(const struct zs_link *link)
{
	return link->number > 0;
}

/* How large one READ may be until it costs as much as two small ones, if the cost grows evenly with the size. */
static uint32_t judge(const struct zs_link *link)
{
	uint64_t small = link->least_ns[ZS_LINK_SMALL];
	uint64_t two = link->least_ns[ZS_LINK_TWO];
	uint64_t large = link->least_ns[ZS_LINK_LARGE];
	uint64_t span;

	if (two < small + WORTH_NS)
		return 0;
	if (large <= two)
		return ZS_FRAME_SIZE;
	span = SMALL + (two - small) * (ZS_FRAME_SIZE - SMALL) / (large - small);
	return (uint32_t)span;
}

static enum zs_link_trial present(const struct zs_link *link)
{
	return (enum zs_link_trial)((link->number - 1) % ZS_LINK_TRIALS);
}

unsigned zs_link_next(struct zs_link *link, struct zs_fetch *parts, uint64_t now_ns)
{
	enum zs_link_trial trial = present(link);

	if (link->number > ROUNDS * ZS_LINK_TRIALS) {
		link->span = judge(link);
		return 0;
	}
	link->began_ns = now_ns;
	parts[0] = (struct zs_fetch){ 0, trial == ZS_LINK_LARGE ? ZS_FRAME_SIZE : SMALL, NULL };
	parts[1] = (struct zs_fetch){ ZS_FRAME_SIZE / 2, SMALL, NULL };
	return trial == ZS_LINK_TWO ? 2 : 1;
}

void zs_link_done(struct zs_link *link, uint64_t now_ns)
{
	uint64_t *least = &link->least_ns[present(link)];

	if (now_ns - link->began_ns < *least)
		*least = now_ns - link->began_ns;
	link->number++;
}
