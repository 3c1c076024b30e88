/* Addresses of nodes, as users write them, and what the resolver makes of them. */
#ifndef ZS_CLIENT_ADDRESS_H
#define ZS_CLIENT_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#define ZS_DEFAULT_PORT "7379"
#define ZS_ADDRESS_ENDPOINTS 8

struct zs_endpoint {
	struct sockaddr_storage address;
	socklen_t size;
};

struct zs_address {
	char *text; /* as given */
	char *host; /* NULL: a Unix socket */
	char *port;
	struct zs_endpoint endpoints[ZS_ADDRESS_ENDPOINTS];
	unsigned count; /* of endpoints */
	bool is_unix;
};

/*
 * Parses and looks up an address. A name that cannot be looked up now is no error: it has no endpoints yet. ZSLAB_OK;
 * ZSLAB_EINVAL or ZSLAB_ENOMEM, and then nothing needs to be freed.
 */
int zs_address_init(struct zs_address *address, const char *text, char *why, size_t why_size);
void zs_address_free(struct zs_address *address);

/* Looks the name up again; may block. ZSLAB_OK or ZSLAB_EUNREACHABLE; what was known stays then. */
int zs_address_resolve(struct zs_address *address, char *why, size_t why_size);

#endif
