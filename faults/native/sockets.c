/* Sends on stream sockets; see sockets.h. */
#define _GNU_SOURCE
#include "sockets.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stddef.h>
#include <sys/socket.h>

#include <linux/tcp.h>

#include "calls.h"
#include "real.h"
#include "trace.h"

#define CONNECTIONS 4096 /* a power of 2 */
#define PROBED 16

/* What this process has sent on one connection. Kernels give socket inodes out one after the other. */
struct connection {
  uint64_t inode; /* 0: free */
  uint64_t sent;
  uint32_t port;
  uint32_t stream; /* 1: a stream; 2: something else, to be passed over */
};

static struct connection connections[CONNECTIONS];

static uint32_t peer_port(int fd) {
  struct sockaddr_storage address = {0};
  socklen_t length = sizeof address;
  if (real(SYS_getpeername, fd, &address, &length) != 0) return 0;
  if (address.ss_family == AF_INET) return ntohs(((struct sockaddr_in *)&address)->sin_port);
  if (address.ss_family == AF_INET6) return ntohs(((struct sockaddr_in6 *)&address)->sin6_port);
  return 0;
}

/*
 * What had been sent before this process first sent something, through a parent for example: what has left, each byte
 * once, and what still waits to. 0 where the kernel does not say (Unix sockets, Linux before 4.19).
 */
static uint64_t sent_before(int fd) {
  struct tcp_info info = {0};
  socklen_t length = sizeof info;
  if (real(SYS_getsockopt, fd, IPPROTO_TCP, TCP_INFO, &info, &length) != 0) return 0;
  if (length < offsetof(struct tcp_info, tcpi_bytes_retrans) + sizeof info.tcpi_bytes_retrans) return 0;
  return info.tcpi_bytes_sent - info.tcpi_bytes_retrans + info.tcpi_notsent_bytes;
}

static void fill(struct connection *connection, int fd) {
  int type = 0;
  socklen_t length = sizeof type;
  real(SYS_getsockopt, fd, SOL_SOCKET, SO_TYPE, &type, &length);
  connection->port = peer_port(fd);
  connection->sent = sent_before(fd);
  __atomic_store_n(&connection->stream, type == SOCK_STREAM ? 1 : 2, __ATOMIC_RELEASE);
}

/* The connection's entry, made at first sight; when its neighbourhood is full the entry looked at first gives way. */
static struct connection *connection_of(int fd, uint64_t inode) {
  for (unsigned step = 0; step < PROBED; step++) {
    struct connection *connection = &connections[(inode + step) % CONNECTIONS];
    uint64_t owner = __atomic_load_n(&connection->inode, __ATOMIC_ACQUIRE);
    if (owner == 0 && __atomic_compare_exchange_n(&connection->inode, &owner, inode, false, __ATOMIC_ACQ_REL,
                                                  __ATOMIC_ACQUIRE)) {
      fill(connection, fd);
      return connection;
    }
    if (owner == inode) return connection;
  }
  struct connection *connection = &connections[inode % CONNECTIONS];
  __atomic_store_n(&connection->inode, inode, __ATOMIC_RELEASE);
  fill(connection, fd);
  return connection;
}

static struct trace_event event_of(const struct sending *sending, uint64_t size) {
  return (struct trace_event){.kind = TRACE_SEND,
                              .device = sending->device,
                              .inode = sending->inode,
                              .offset = sending->offset,
                              .size = size,
                              .port_or_mode = sending->port};
}

struct sending sending_begins(int fd, const struct file *socket, uint64_t size) {
  struct sending sending = {.device = socket->device, .inode = socket->inode, .size = size};
  if (!tracing) return sending;
  struct connection *connection = connection_of(fd, socket->inode);
  if (__atomic_load_n(&connection->stream, __ATOMIC_ACQUIRE) != 1) return sending;
  sending.connection = connection;
  sending.port = connection->port;
  sending.offset = (int64_t)__atomic_load_n(&connection->sent, __ATOMIC_ACQUIRE);
  struct trace_event event = event_of(&sending, size);
  sending.call = trace_begin(&event);
  return sending;
}

void sending_ends(struct sending *sending, ssize_t result) {
  if (!sending->connection) return;
  uint64_t sent = result > 0 ? (uint64_t)result : 0;
  __atomic_add_fetch(&sending->connection->sent, sent, __ATOMIC_ACQ_REL);
  struct trace_event event = event_of(sending, sent);
  trace_end(sending->call, &event, result);
}

ssize_t acked_send(int fd, const struct msghdr *message, int flags) {
  struct file socket;
  if (!tracing || identify(fd, &socket) != SEEN_SOCKET) return real(SYS_sendmsg, fd, message, flags);
  uint64_t size = 0;
  for (size_t part = 0; part < message->msg_iovlen; part++) size += message->msg_iov[part].iov_len;
  struct sending sending = sending_begins(fd, &socket, size);
  ssize_t result = real(SYS_sendmsg, fd, message, flags);
  sending_ends(&sending, result);
  return result;
}
