#include "client/fence.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "client/internal.h"

#define COMMAND_MAX 64

/* What waits to be repeated will not be: nobody can tell whether its first copy is still to come. */
static void give_up_repetitions(struct zs_node *node, const char *why)
{
	struct zs_queue waiting = node->waiting;
	struct zs_request *request;

	node->waiting = (struct zs_queue){ 0 };
	while ((request = zs_queue_pop(&waiting))) {
		if (request->doubtful)
			zs_request_end_unknown(node->lane, request, why);
		else
			zs_queue_push(&node->waiting, request);
	}
}

static int take_answer(struct zs_node *node, struct zs_request *request, const struct zs_token *token, int *status,
		       char *why, size_t why_size)
{
	char shown[200];

	(void)request;
	(void)status;
	if (token->kind != ZS_TOKEN_STATUS && token->kind != ZS_TOKEN_ERROR) {
		snprintf(why, why_size, "the node's answer to ZS.FENCE is not what it should be");
		return ZSLAB_EPROTO;
	}
	node->fence = (struct zs_fence){ 0 };
	if (token->kind == ZS_TOKEN_ERROR) {
		zs_reply_show(token->text, token->size, shown, sizeof(shown));
		give_up_repetitions(node, shown);
	}
	return ZSLAB_OK;
}

bool zs_fence_note(struct zs_node *node, const struct zs_lane *lane)
{
	if (node->fence.id)
		return false;
	node->fence.id = lane->channel.id;
	return lane->channel.id;
}

bool zs_fence_is_up(struct zs_node *node)
{
	char id[24];
	char command[COMMAND_MAX];
	int size;

	if (!node->fence.id)
		return true;
	if (node->fence.asked)
		return false;
	snprintf(id, sizeof(id), "%" PRIu64, node->fence.id);
	size = snprintf(command, sizeof(command), "*2\r\n$8\r\nZS.FENCE\r\n$%zu\r\n%s\r\n", strlen(id), id);
	node->fence.asked = true;
	/* Without memory it is asked for later. */
	if (zs_lane_send(node->lane, command, (size_t)size, take_answer))
		node->fence.asked = false;
	return false;
}
