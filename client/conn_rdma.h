/* RDMA connections: their bytes for a channel, the ends of their READs for a reader. */
#ifndef ZS_CLIENT_CONN_RDMA_H
#define ZS_CLIENT_CONN_RDMA_H

#include "client/transport.h"
#include "common/rdma_reader.h"

struct zslab;

struct zs_rdma_link {
	struct zs_link link;
	struct zslab *client;		       /* whose adapter it is */
	struct zs_rdma_connection *connection; /* NULL: none */
	struct zs_rdma_reader *reader;	       /* NULL: none yet; it ends with each connection */
};

void zs_rdma_link_init(struct zs_rdma_link *link, struct zs_channel *channel, struct zslab *client);

#endif
