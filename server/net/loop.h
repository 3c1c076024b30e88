/*
 * The event loop of one worker: completion style, with io_uring or epoll behind it.
 *
 * A loop belongs to the thread that made it; only zs_loop_wake may be called by others. Callbacks run within
 * zs_loop_dispatch. Idle connections own no buffer: received bytes lie in a buffer of the loop and are
 * valid only during the callback.
 */
#ifndef ZS_SERVER_NET_LOOP_H
#define ZS_SERVER_NET_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct zs_loop;
struct zs_connection;

enum zs_loop_kind {
	ZS_LOOP_AUTO, /* io_uring if the kernel grants it */
	ZS_LOOP_URING,
	ZS_LOOP_EPOLL,
};

/*
 * What carries a connection's bytes: the loop itself those of sockets, something else those of other connections. The
 * functions are those below of the same names.
 */
struct zs_carrier {
	void (*pause)(struct zs_loop *loop, struct zs_connection *connection);
	void (*resume)(struct zs_loop *loop, struct zs_connection *connection);
	void (*send)(struct zs_loop *loop, struct zs_connection *connection, const uint8_t *data, size_t size);
	void (*close)(struct zs_loop *loop, struct zs_connection *connection);
};

/* What the loop knows of a connection; its owner embeds it. */
struct zs_connection {
	const struct zs_carrier *carrier;
	int fd;		  /* -1: none, the carrier is another one */
	bool receiving;	  /* the owner wants data */
	bool armed;	  /* a receive request is with the kernel */
	bool ended;	  /* the stream is over: nothing will be received any more */
	bool closing;	  /* zs_loop_close was called */
	bool writing;	  /* epoll: waits for room in the socket's buffer */
	uint8_t requests; /* io_uring: with the kernel */
	const uint8_t *send_data;
	size_t send_size; /* still to be sent */
	struct zs_connection *next_released;
};

/* The most that `expected` gets at one time. */
#define ZS_EXPECTED_MAX 16

/* What has come for a connection. */
struct zs_received {
	struct zs_connection *connection;
	const uint8_t *data;
	size_t size;
};

struct zs_loop_handler {
	/* These will be received within the same dispatch, so what they need can be fetched; or this is not called. */
	void (*expected)(void *context, const struct zs_received *list, size_t count);
	/* Bytes have come. */
	void (*received)(void *context, struct zs_connection *connection, const uint8_t *data, size_t size);
	/* The peer has ended the stream (error 0), or it broke (errno). Nothing is received after this. */
	void (*ended)(void *context, struct zs_connection *connection, int error);
	/* All that was given to zs_loop_send is with the kernel (error 0), or can never be (errno). */
	void (*sent)(void *context, struct zs_connection *connection, int error);
	/* After zs_loop_close: the descriptor is closed and the memory is the owner's again. */
	void (*released)(void *context, struct zs_connection *connection);
	/* After zs_loop_wake; once for any number of wakes. */
	void (*woken)(void *context);
	void *context;
};

/*
 * Settles ZS_LOOP_AUTO, by trying. Returns what is to be used, URING or EPOLL; `why` says in a few words what speaks
 * against io_uring, or is empty. If io_uring was demanded and cannot be had, the result is ZS_LOOP_AUTO.
 */
enum zs_loop_kind zs_loop_choose(enum zs_loop_kind wanted, char *why, size_t why_size);

const char *zs_loop_name(enum zs_loop_kind kind);

/* Makes a loop for the calling thread. ZS_OK, ZS_ENOMEM or ZS_ESYS (errno). */
int zs_loop_open(enum zs_loop_kind kind, const struct zs_loop_handler *handler, struct zs_loop **loop);

/* All connections must have been released. The loop's thread, or any after it has ended. */
void zs_loop_close_all(struct zs_loop *loop);

/* Begins to receive on a connected, non-blocking socket. 0 or an errno. */
int zs_loop_add(struct zs_loop *loop, struct zs_connection *connection, int fd);

/* Takes up a connection that something else carries, which calls the handler itself, from the loop's thread. */
void zs_loop_adopt(struct zs_connection *connection, const struct zs_carrier *carrier);

/*
 * Lets waits end when a descriptor is readable, one for a loop, without a callback. The descriptor stays open as long
 * as the loop. ZS_OK or ZS_ESYS (errno).
 */
int zs_loop_watch(struct zs_loop *loop, int fd);

/* Stops to receive; what is on its way already may still come. Resume undoes it. */
void zs_loop_pause(struct zs_loop *loop, struct zs_connection *connection);
void zs_loop_resume(struct zs_loop *loop, struct zs_connection *connection);

/*
 * Sends all of `data`, which must stay until `sent` is called; that may be before this returns. One at a time for
 * each connection.
 */
void zs_loop_send(struct zs_loop *loop, struct zs_connection *connection, const uint8_t *data, size_t size);

/* Ends a connection; `released` follows, never before this returns. No other callback does. */
void zs_loop_close(struct zs_loop *loop, struct zs_connection *connection);

/* Submits what was begun and waits for something to happen: at most timeout_ms, 0 not at all. */
void zs_loop_wait(struct zs_loop *loop, unsigned timeout_ms);

/* Runs the callbacks of what has happened. Returns how many there were. */
size_t zs_loop_dispatch(struct zs_loop *loop);

/* Makes the loop's thread call `woken`. Any thread, async-signal-safe. */
void zs_loop_wake(struct zs_loop *loop);

/* The calls of one kind of loop; for loop.c. */
struct zs_loop_backend {
	int (*open)(const struct zs_loop_handler *handler, struct zs_loop **loop);
	void (*close_all)(struct zs_loop *loop);
	int (*add)(struct zs_loop *loop, struct zs_connection *connection, int fd);
	int (*watch)(struct zs_loop *loop, int fd);
	struct zs_carrier carrier;
	void (*wait)(struct zs_loop *loop, unsigned timeout_ms);
	size_t (*dispatch)(struct zs_loop *loop);
};

extern const struct zs_loop_backend zs_loop_uring;
extern const struct zs_loop_backend zs_loop_epoll;

/* The common beginning of both kinds. */
struct zs_loop {
	const struct zs_loop_backend *backend;
	struct zs_loop_handler handler;
	int wake_fd;
	struct zs_connection *released; /* to be handed back at the end of the dispatch */
};

/* For the backends: hand back what was closed. */
void zs_loop_defer_release(struct zs_loop *loop, struct zs_connection *connection);
void zs_loop_release_all(struct zs_loop *loop);

/* Tries to make and use a ring as the io_uring loop does. 0 or an errno. */
int zs_loop_uring_try(void);

#endif
