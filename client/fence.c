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
	struct zs_fences *f = &node->fences;
	char shown[200];

	(void)request;
	(void)status;
	(void)why;
	(void)why_size;
	f->count--;
	f->asked--;
	memmove(f->ids, f->ids + 1, f->count * sizeof(f->ids[0]));
	if (token->kind == ZS_TOKEN_ERROR) {
		zs_reply_show(token->text, token->size, shown, sizeof(shown));
		give_up_repetitions(node, shown);
	}
	if (!f->count)
		zs_node_pump(node, true);
	return ZSLAB_OK;
}

bool zs_fence_note(struct zs_node *node, const struct zs_lane *lane)
{
	struct zs_fences *f = &node->fences;

	if (!lane->channel.id || f->count == ZS_FENCES_MAX)
		return false;
	f->ids[f->count++] = lane->channel.id;
	return true;
}

bool zs_fence_all(struct zs_node *node)
{
	struct zs_fences *f = &node->fences;
	char id[24];
	char command[COMMAND_MAX];
	int size;

	while (f->asked < f->count) {
		snprintf(id, sizeof(id), "%" PRIu64, f->ids[f->asked]);
		size = snprintf(command, sizeof(command), "*2\r\n$8\r\nZS.FENCE\r\n$%zu\r\n%s\r\n", strlen(id), id);
		if (zs_lane_send(node->lane, command, (size_t)size, take_answer))
			return false;
		f->asked++;
	}
	return f->count == 0;
}

void zs_fence_ask_again(struct zs_node *node)
{
	node->fences.asked = 0;
}
