/*
 * Writes to stream sockets: recorded as `send`, with the bytes sent on the connection before, so that the harness can
 * tell when a reply was on its way. Never acted upon. Sockets are told apart by device and inode.
 */
#ifndef ACKED_SOCKETS_H
#define ACKED_SOCKETS_H

#include <stdint.h>
#include <sys/types.h>

#include "files.h"

/* A send about to be made. */
struct sending {
  struct connection *connection; /* null: not a stream socket, or nothing is traced */
  uint64_t call;
  uint64_t device;
  uint64_t inode;
  int64_t offset;
  uint64_t size;
  uint32_t port;
};

struct sending sending_begins(int fd, const struct file *socket, uint64_t size);
void sending_ends(struct sending *sending, ssize_t result);

#endif
