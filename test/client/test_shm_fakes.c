/* Nodes that answer ZS.ATTACH with nonsense, or pass a descriptor that cannot be trusted: refused, never a crash. */
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/layout.h"
#include "test/client/support.h"

#define CONNECTIONS_MAX 16

struct sham {
	char path[64];
	char address[80];
	int listener;
	pthread_t thread;
	const char *answer; /* to ZS.ATTACH */
	int passed;	    /* descriptor that goes with it; -1: none */
	bool stops;
};

static void answer(const struct sham *sham, int fd, const char *text, int passed)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec piece = { (void *)(uintptr_t)text, strlen(text) };
	struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1 };

	(void)sham;
	if (passed >= 0) {
		struct cmsghdr *c;

		message.msg_control = control;
		message.msg_controllen = sizeof(control);
		c = CMSG_FIRSTHDR(&message);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &passed, sizeof(passed));
	}
	(void)sendmsg(fd, &message, MSG_NOSIGNAL);
}

/* Answers one command. False: the client has gone. */
static bool serve(const struct sham *sham, int fd)
{
	char command[4096];
	ssize_t n = recv(fd, command, sizeof(command) - 1, 0);

	if (n <= 0)
		return false;
	command[n] = 0;
	if (strstr(command, "HELLO"))
		answer(sham, fd, fake_hello, -1);
	else if (strstr(command, "ZS.ATTACH"))
		answer(sham, fd, sham->answer, sham->passed);
	else
		answer(sham, fd, "$4\r\ntold\r\n", -1);
	return true;
}

static void *sham_main(void *context)
{
	struct sham *sham = context;
	struct pollfd fds[CONNECTIONS_MAX + 1] = { { .fd = sham->listener, .events = POLLIN } };
	nfds_t count = 1;

	while (!__atomic_load_n(&sham->stops, __ATOMIC_RELAXED)) {
		if (poll(fds, count, 10) <= 0)
			continue;
		for (nfds_t i = 1; i < count; i++) {
			if (fds[i].revents && !serve(sham, fds[i].fd)) {
				close(fds[i].fd);
				fds[i--] = fds[--count];
			}
		}
		if (fds[0].revents && count <= CONNECTIONS_MAX)
			fds[count++] = (struct pollfd){ .fd = accept(sham->listener, NULL, NULL), .events = POLLIN };
	}
	while (count > 1)
		close(fds[--count].fd);
	return NULL;
}

static void sham_start(struct sham *sham, const char *text, int passed)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };

	*sham = (struct sham){ .answer = text, .passed = passed };
	snprintf(sham->path, sizeof(sham->path), "/tmp/zslab-sham-%d", (int)getpid());
	snprintf(sham->address, sizeof(sham->address), "unix:%s", sham->path);
	snprintf(name.sun_path, sizeof(name.sun_path), "%s", sham->path);
	unlink(sham->path);
	sham->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(sham->listener, (struct sockaddr *)&name, sizeof(name)), 0);
	assert_int_equal(listen(sham->listener, 16), 0);
	assert_int_equal(pthread_create(&sham->thread, NULL, sham_main, sham), 0);
}

static void sham_stop(struct sham *sham)
{
	__atomic_store_n(&sham->stops, true, __ATOMIC_RELAXED);
	pthread_join(sham->thread, NULL);
	close(sham->listener);
	unlink(sham->path);
}

/* The answer is refused with this reason: via shm fails to open, auto goes over the socket. */
static void check(const char *text, int passed, const char *mentions)
{
	struct zslab_options options = { .via = ZSLAB_VIA_SHM };
	struct zslab *handle = NULL;
	struct zslab_node_state now;
	const char *address;
	char why[ZSLAB_ERROR_MAX] = "";
	struct sham sham;

	sham_start(&sham, text, passed);
	address = sham.address;
	assert_int_equal(zslab_open(&handle, &address, 1, &options, why, sizeof(why)), ZSLAB_ETRANSPORT);
	assert_mentions(why, mentions);
	handle = open_handle(address, ZSLAB_VIA_AUTO);
	assert_value(handle, "k", "told");
	assert_status(handle, zslab_node_state(handle, 0, &now), ZSLAB_OK);
	assert_string_equal(now.reads, "unix");
	assert_mentions(now.problem, mentions);
	zslab_close(handle);
	sham_stop(&sham);
}

#define ARENA_SIZE 65536

/* An answer with these figures. */
static const char *figures(unsigned version, uint64_t arena_size, uint64_t lease_offset, int tag)
{
	static char text[512];

	snprintf(text, sizeof(text),
		 "*8\r\n:%u\r\n$16\r\n0123456789abcdef\r\n:%llu\r\n:0\r\n$16\r\n%016llx\r\n:1000\r\n:0\r\n:%d\r\n",
		 version, (unsigned long long)arena_size, (unsigned long long)lease_offset, tag);
	return text;
}

static int make_memory(size_t size, unsigned seals)
{
	int fd = memfd_create("sham", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

static void test_answers(void **state)
{
	int fd = make_memory(ARENA_SIZE, F_SEAL_SHRINK);

	(void)state;
	check("-NOPERM not you\r\n", -1, "NOPERM not you");
	check("-ERR unknown command 'ZS.ATTACH'\r\n", -1, "unknown command");
	check("+OK\r\n", fd, "element 0");
	check("*7\r\n", fd, "element 0");
	check("*8\r\n:1\r\n:2\r\n", fd, "element 2");
	check("*8\r\n:1\r\n$16\r\nnot hexadecimal!\r\n", fd, "element 2");
	check("*8\r\n:1\r\n$3\r\nabc\r\n", fd, "element 2");
	check("*8\r\n$1\r\n1\r\n", fd, "element 1");
	check("garbage", fd, "no Redis protocol");
	check("$-5\r\n", fd, "-5");
	check(figures(ZS_LAYOUT_VERSION + 1, ARENA_SIZE, 72, 1), fd, "another layout");
	check(figures(ZS_LAYOUT_VERSION, 0, 72, 1), fd, "makes no sense");
	check(figures(ZS_LAYOUT_VERSION, UINT64_MAX / 2, 72, 1), fd, "smaller than it says");
	check(figures(ZS_LAYOUT_VERSION, ARENA_SIZE, 73, 1), fd, "makes no sense");
	check(figures(ZS_LAYOUT_VERSION, ARENA_SIZE, ARENA_SIZE, 1), fd, "makes no sense");
	check(figures(ZS_LAYOUT_VERSION, ARENA_SIZE, UINT64_MAX - 7, 1), fd, "makes no sense");
	check(figures(ZS_LAYOUT_VERSION, ARENA_SIZE, 72, 0), fd, "makes no sense");
	check(figures(ZS_LAYOUT_VERSION, ARENA_SIZE, 72, 65536), fd, "makes no sense");
	check(figures(ZS_LAYOUT_VERSION, ARENA_SIZE, 72, -1), fd, "makes no sense");
	close(fd);
}

static void test_descriptors(void **state)
{
	int unsealed = make_memory(ARENA_SIZE, F_SEAL_GROW);
	int sealed = make_memory(ARENA_SIZE, F_SEAL_SHRINK);
	int device = open("/dev/zero", O_RDONLY | O_CLOEXEC);

	(void)state;
	check(figures(ZS_LAYOUT_VERSION, ARENA_SIZE, 72, 1), -1, "no descriptor");
	check(figures(ZS_LAYOUT_VERSION, ARENA_SIZE, 72, 1), unsealed, "sealed against shrinking");
	check(figures(ZS_LAYOUT_VERSION, ARENA_SIZE, 72, 1), device, "sealed against shrinking");
	check(figures(ZS_LAYOUT_VERSION, 2 * ARENA_SIZE, 72, 1), sealed, "smaller than it says");
	check(figures(ZS_LAYOUT_VERSION, ARENA_SIZE, 72, 1), sealed, "no arena");
	close(unsealed);
	close(sealed);
	close(device);
}

/* Memory that passes for an arena, of random bytes: whatever a read says, it stays within the mapping. */
static void test_random_memory(void **state)
{
	unsigned seed = (unsigned)now_ms();

	(void)state;
	print_message("seed %u\n", seed);
	for (int round = 0; round < 30; round++) {
		int fd = make_memory(ARENA_SIZE, F_SEAL_SHRINK);
		uint8_t *memory = mmap(NULL, ARENA_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		struct zs_superblock *super = (struct zs_superblock *)(void *)memory;
		struct zslab *handle;
		struct sham sham;

		assert_ptr_not_equal(memory, MAP_FAILED);
		for (size_t i = ZS_FRAME_SIZE; i < ARENA_SIZE; i++)
			memory[i] = (uint8_t)rand_r(&seed);
		super->magic = ZS_LAYOUT_MAGIC;
		super->version = ZS_LAYOUT_VERSION;
		super->partitions = 1;
		super->incarnation = 0x0123456789abcdef;
		super->arena_size = ARENA_SIZE;
		super->lease[0] = UINT64_MAX << 16 | 5;
		super->partition[0] = (struct zs_partition_place){
			.frames_offset = ZS_FRAME_SIZE,
			.frames = ARENA_SIZE / ZS_FRAME_SIZE - 1,
			.main = { .offset = ZS_FRAME_SIZE, .buckets = 128 },
		};
		sham_start(&sham, figures(ZS_LAYOUT_VERSION, ARENA_SIZE, offsetof(struct zs_superblock, lease), 5), fd);
		handle = open_handle(sham.address, ZSLAB_VIA_SHM);
		for (unsigned i = 0; i < 200; i++) {
			uint8_t value[64];
			char key[4] = { 0 };
			size_t size;
			int status = zslab_get_into(handle, key, i % 4, value, sizeof(value), &size);

			assert_true(status == ZSLAB_OK || status == ZSLAB_ESMALL);
		}
		zslab_close(handle);
		sham_stop(&sham);
		munmap(memory, ARENA_SIZE);
		close(fd);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_descriptors),
		cmocka_unit_test(test_random_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
