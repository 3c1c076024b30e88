/*
 * Groups, which are ours alone: SET key value GROUP name puts an object into one, ZS.DROP ends it with all
 * that is in it.
 */
#include "server/commands/handlers.h"
#include "server/commands/result.h"

/* :n, the objects that were dropped; 0 if there is no such group. */
int zs_handle_drop(struct zs_call *call)
{
	const struct zs_argument *group = &call->argv[1];
	uint64_t dropped = 0;
	int error = zs_drop(call->thread, group->data, group->size, &dropped);

	if (error != ZS_OK && error != ZS_ENOTFOUND)
		return zs_command_failed(call, error, group->size, 0);
	zs_reply_integer(call->reply, error == ZS_OK ? (int64_t)dropped : 0);
	return ZS_OK;
}

struct listing {
	struct zs_reply *reply;
	size_t count;
};

static void list_group(void *context, const struct zs_group_info *group)
{
	struct listing *listing = context;

	zs_reply_map(listing->reply, 3);
	zs_reply_bulk_text(listing->reply, "name");
	zs_reply_bulk(listing->reply, group->name, group->name_size);
	zs_reply_bulk_text(listing->reply, "objects");
	zs_reply_integer(listing->reply, (int64_t)group->objects);
	zs_reply_bulk_text(listing->reply, "slabs");
	zs_reply_integer(listing->reply, (int64_t)group->slabs);
	listing->count++;
}

/* An array with a map of name, objects and slabs for each group that has objects. */
int zs_handle_groups(struct zs_call *call)
{
	struct listing listing = { .reply = call->reply };
	size_t start = call->reply->used;

	zs_groups(call->thread, list_group, &listing);
	zs_reply_array_at(call->reply, start, listing.count);
	return ZS_OK;
}
