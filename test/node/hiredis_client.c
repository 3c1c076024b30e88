/*
 * Uses zslabd as a C program with hiredis would: commands with binary data, an error, a pipeline.
 * usage: hiredis_client PORT SOCKET; exits with 0 if everything was as it has to be.
 */
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                                                      \
	do {                                                                                  \
		if (!(condition)) {                                                           \
			fprintf(stderr, "line %d: %s does not hold\n", __LINE__, #condition); \
			exit(1);                                                              \
		}                                                                             \
	} while (0)

static void check_commands(redisContext *c)
{
	redisReply *r = redisCommand(c, "SET %b %b EX 100", "k\0y", (size_t)3, "v\0\r\n", (size_t)4);

	CHECK(r && r->type == REDIS_REPLY_STATUS && strcmp(r->str, "OK") == 0);
	freeReplyObject(r);
	r = redisCommand(c, "GET %b", "k\0y", (size_t)3);
	CHECK(r && r->type == REDIS_REPLY_STRING && r->len == 4 && memcmp(r->str, "v\0\r\n", 4) == 0);
	freeReplyObject(r);
	r = redisCommand(c, "GET absent");
	CHECK(r && r->type == REDIS_REPLY_NIL);
	freeReplyObject(r);
	r = redisCommand(c, "INCR %b", "k\0y", (size_t)3);
	CHECK(r && r->type == REDIS_REPLY_ERROR);
	CHECK(strcmp(r->str, "ERR value is not an integer or out of range") == 0);
	freeReplyObject(r);
	r = redisCommand(c, "MGET a b c");
	CHECK(r && r->type == REDIS_REPLY_ARRAY && r->elements == 3);
	freeReplyObject(r);
}

static void check_pipeline(redisContext *c)
{
	const int count = 10000;
	redisReply *r;

	for (int i = 0; i < count; i++) {
		CHECK(redisAppendCommand(c, "SET p%d %d", i, i) == REDIS_OK);
		CHECK(redisAppendCommand(c, "GET p%d", i) == REDIS_OK);
	}
	for (int i = 0; i < count; i++) {
		CHECK(redisGetReply(c, (void **)&r) == REDIS_OK && r->type == REDIS_REPLY_STATUS);
		freeReplyObject(r);
		CHECK(redisGetReply(c, (void **)&r) == REDIS_OK && r->type == REDIS_REPLY_STRING);
		CHECK(atoi(r->str) == i);
		freeReplyObject(r);
	}
}

static void check_connection(redisContext *c)
{
	CHECK(c && !c->err);
	check_commands(c);
	check_pipeline(c);
	redisFree(c);
}

int main(int argc, char **argv)
{
	CHECK(argc == 3);
	check_connection(redisConnect("127.0.0.1", atoi(argv[1])));
	check_connection(redisConnectUnix(argv[2]));
	return 0;
}
