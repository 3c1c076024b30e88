/* What zslab can do: each takes an open handle and the command line, prints, and returns the exit code. */
#ifndef ZS_CLIENT_COMMAND_VERBS_H
#define ZS_CLIENT_COMMAND_VERBS_H

#include "client/command/arguments.h"

int zs_verb_get(struct zslab *handle, const struct arguments *arguments);
int zs_verb_set(struct zslab *handle, const struct arguments *arguments);
int zs_verb_del(struct zslab *handle, const struct arguments *arguments);
int zs_verb_incr(struct zslab *handle, const struct arguments *arguments);
int zs_verb_mget(struct zslab *handle, const struct arguments *arguments);
int zs_verb_expire(struct zslab *handle, const struct arguments *arguments);
int zs_verb_touch(struct zslab *handle, const struct arguments *arguments);
int zs_verb_drop(struct zslab *handle, const struct arguments *arguments);
int zs_verb_warm(struct zslab *handle, const struct arguments *arguments);
int zs_verb_stats(struct zslab *handle, const struct arguments *arguments);
int zs_verb_ping(struct zslab *handle, const struct arguments *arguments);
int zs_verb_watch(struct zslab *handle, const struct arguments *arguments);

/* Says on standard error why an operation failed, and gives the exit code for it. */
int zs_report(struct zslab *handle, const struct zslab_op *op);

#endif
