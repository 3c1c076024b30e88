/* Sockets between the processes. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "test/fake/soft/soft.h"

enum { DESCRIPTORS_MAX = 3 };

/* An address vector is 16 bytes: what it is, and which wire. */
static const char mark_of_wire[8] = { 's', 'o', 'f', 't', 'w', 'i', 'r', 'e' };
static const char mark_of_self[8] = { 's', 'o', 'f', 't', 's', 'e', 'l', 'f' };

struct soft_wire *soft_wire_new(int fd)
{
	struct soft_wire *wire = malloc(sizeof(*wire));

	if (wire)
		*wire = (struct soft_wire){ .fd = fd, .peer = { .memory = -1 }, .references = 1 };
	return wire;
}

void soft_wire_release(struct soft_wire *wire)
{
	if (!wire || --wire->references)
		return;
	soft_close(wire->fd);
	soft_peer_close(&wire->peer);
	free(wire);
}

/* ---- address vectors ---- */

void soft_gid_of(const struct soft_wire *wire, union ibv_gid *gid)
{
	memcpy(gid->raw, wire ? mark_of_wire : mark_of_self, 8);
	memcpy(gid->raw + 8, &wire, 8);
}

bool soft_gid_leads(const union ibv_gid *gid, struct soft_wire **wire)
{
	memcpy(wire, gid->raw + 8, 8);
	return !memcmp(gid->raw, *wire ? mark_of_wire : mark_of_self, 8);
}

/* ---- records ---- */

union control {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(DESCRIPTORS_MAX * sizeof(int))];
};

ssize_t soft_send(int fd, const void *record, size_t size, const int *descriptors, unsigned count)
{
	union control control = { 0 };
	struct iovec part = { (void *)(uintptr_t)record, size };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };

	if (count) {
		message.msg_control = &control;
		message.msg_controllen = CMSG_SPACE(count * sizeof(int));
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(count * sizeof(int));
		memcpy(CMSG_DATA(&control.header), descriptors, count * sizeof(int));
	}
	return sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

ssize_t soft_receive(int fd, void *record, size_t size, int *descriptors, unsigned count)
{
	union control control;
	struct iovec part = { record, size };
	struct msghdr message = {
		.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
	};
	ssize_t received = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	struct cmsghdr *header = received > 0 ? CMSG_FIRSTHDR(&message) : NULL;

	for (unsigned i = 0; i < count; i++)
		descriptors[i] = -1;
	if (header && header->cmsg_type == SCM_RIGHTS && header->cmsg_len <= CMSG_LEN(count * sizeof(int)))
		memcpy(descriptors, CMSG_DATA(header), header->cmsg_len - CMSG_LEN(0));
	return received;
}

bool soft_is_early(int fd)
{
	uint64_t late_ns = soft_get(soft_late_ms) * 1000000;
	uint64_t sent_ns;

	if (!late_ns || recv(fd, &sent_ns, sizeof(sent_ns), MSG_PEEK | MSG_DONTWAIT) != sizeof(sent_ns))
		return false;
	return soft_now_ns() < sent_ns + late_ns;
}
