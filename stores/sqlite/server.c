/*
 * SQLite behind RESP2, so that a library can be killed, restarted and cut off from its power like any other store.
 *
 * One thread, one SQLite connection, group commit: the commands of all clients that have arrived together are one
 * transaction (BEGIN IMMEDIATE … COMMIT), and no reply of it leaves before COMMIT has returned. So with synchronous =
 * FULL an acknowledged write is a synced write, and no reader sees what could still be lost.
 *
 * Commands: PING INFO GET SET (NX, XX, IFEQ value, GET) DEL RPUSH LRANGE key 0 -1 WATCH UNWATCH MULTI EXEC DISCARD. An EXEC is
 * all or nothing. When SQLite reports an error, every command of that transaction is answered with -IOERR (whether it
 * is durable is not known: a log record whose sync failed may still be on the disk) and its connections are closed.
 *
 * Not here: authentication, expiry, other types, clients that send slower than they are served.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "database.h"

enum { CLIENTS_MAX = 512, ARGUMENTS_MAX = 64, WATCHED_MAX = 64, INPUT_BYTES_MAX = 16 << 20, BACKLOG = 128 };

struct buffer {
  char *bytes;
  size_t length;
  size_t capacity;
};

struct client {
  int socket;
  struct buffer input;
  struct buffer output;
  /* Replies before this offset belong to transactions that have been committed. */
  size_t released;
  /* Commands answered in the present transaction. */
  int answered;
  bool closing;
  bool queueing;
  bool refused_while_queueing;
  /* Commands between MULTI and EXEC, as they came. */
  struct buffer queue;
  int queued;
  char *watched[WATCHED_MAX];
  size_t watched_length[WATCHED_MAX];
  int watching;
  /* A watched key was changed. */
  bool disturbed;
};

struct command {
  struct text arguments[ARGUMENTS_MAX];
  int count;
};

static struct client *clients[CLIENTS_MAX];
static int client_count;
static bool in_transaction;
static volatile sig_atomic_t told_to_stop;

static void die(const char *what) {
  fprintf(stderr, "sqlite store: %s: %s\n", what, strerror(errno));
  exit(1);
}

static void append(struct buffer *buffer, const char *bytes, size_t length) {
  if (buffer->length + length > buffer->capacity) {
    size_t capacity = buffer->capacity == 0 ? 4096 : buffer->capacity;
    while (capacity < buffer->length + length) capacity *= 2;
    char *larger = realloc(buffer->bytes, capacity);
    if (larger == NULL) die("no memory");
    buffer->bytes = larger;
    buffer->capacity = capacity;
  }
  memcpy(buffer->bytes + buffer->length, bytes, length);
  buffer->length += length;
}

static void drop_front(struct buffer *buffer, size_t length) {
  memmove(buffer->bytes, buffer->bytes + length, buffer->length - length);
  buffer->length -= length;
}

/* --- replies --- */

static void reply(struct buffer *to, const char *line) { append(to, line, strlen(line)); }

static void reply_integer(struct buffer *to, long long value) {
  char line[32];
  append(to, line, (size_t)snprintf(line, sizeof line, ":%lld\r\n", value));
}

static void reply_text(struct buffer *to, struct text text) {
  char line[32];
  append(to, line, (size_t)snprintf(line, sizeof line, "$%zu\r\n", text.length));
  append(to, text.bytes, text.length);
  append(to, "\r\n", 2);
}

static void reply_array(struct buffer *to, long long length) {
  char line[32];
  append(to, line, (size_t)snprintf(line, sizeof line, "*%lld\r\n", length));
}

static const char wrong_type[] = "-WRONGTYPE the key holds another kind of value\r\n";
static const char null_bulk[] = "$-1\r\n";

/* --- parsing --- */

enum parsed { PARSED, INCOMPLETE, MALFORMED };

/* A line "<type><number>\r\n" at *at; moves *at behind it. */
static enum parsed number_line(struct text input, size_t *at, char type, long *number) {
  const char *end = memchr(input.bytes + *at, '\n', input.length - *at);
  if (*at < input.length && input.bytes[*at] != type) return MALFORMED;
  if (end == NULL) return input.length - *at > 32 ? MALFORMED : INCOMPLETE;
  char *behind;
  *number = strtol(input.bytes + *at + 1, &behind, 10);
  if (behind + 1 != end || *behind != '\r' || *number < 0) return MALFORMED;
  *at = (size_t)(end - input.bytes) + 1;
  return PARSED;
}

/* One command from the front of the input; `length` is what it takes there. */
static enum parsed parse(struct text input, struct command *command, size_t *length) {
  size_t at = 0;
  long count, bytes;
  if (input.length == 0) return INCOMPLETE;
  enum parsed result = number_line(input, &at, '*', &count);
  if (result != PARSED) return result;
  if (count < 1 || count > ARGUMENTS_MAX) return MALFORMED;
  for (int i = 0; i < count; i++) {
    if (at == input.length) return INCOMPLETE;
    result = number_line(input, &at, '$', &bytes);
    if (result != PARSED) return result;
    if (bytes > INPUT_BYTES_MAX) return MALFORMED;
    if (input.length - at < (size_t)bytes + 2) return INCOMPLETE;
    command->arguments[i] = (struct text){input.bytes + at, (size_t)bytes};
    at += (size_t)bytes + 2;
  }
  command->count = (int)count;
  *length = at;
  return PARSED;
}

static bool is(struct text text, const char *word) {
  return text.length == strlen(word) && strncasecmp(text.bytes, word, text.length) == 0;
}

static bool same(struct text a, struct text b) {
  return a.length == b.length && memcmp(a.bytes, b.bytes, a.length) == 0;
}

/* --- watching --- */

static void unwatch(struct client *client) {
  for (int i = 0; i < client->watching; i++) free(client->watched[i]);
  client->watching = 0;
  client->disturbed = false;
}

static void watch(struct client *client, struct text key) {
  if (client->watching == WATCHED_MAX) {
    client->disturbed = true; /* more than can be watched: its EXEC will be refused, which is always right */
    return;
  }
  char *copy = malloc(key.length + 1);
  if (copy == NULL) die("no memory");
  memcpy(copy, key.bytes, key.length);
  client->watched[client->watching] = copy;
  client->watched_length[client->watching++] = key.length;
}

static void disturb_watchers(struct text key) {
  for (int i = 0; i < client_count; i++) {
    for (int k = 0; k < clients[i]->watching; k++) {
      if (same(key, (struct text){clients[i]->watched[k], clients[i]->watched_length[k]})) clients[i]->disturbed = true;
    }
  }
}

/* --- commands on data --- */

static bool set(const struct command *command, struct buffer *to) {
  const struct text key = command->arguments[1], value = command->arguments[2];
  bool only_absent = false, only_present = false, answer_old = false;
  const struct text *expected = NULL;
  for (int i = 3; i < command->count; i++) {
    if (is(command->arguments[i], "NX")) only_absent = true;
    else if (is(command->arguments[i], "XX")) only_present = true;
    else if (is(command->arguments[i], "GET")) answer_old = true;
    else if (is(command->arguments[i], "IFEQ") && i + 1 < command->count) expected = &command->arguments[++i];
    else return reply(to, "-ERR syntax error\r\n"), false;
  }
  struct text old = {"", 0};
  const enum kind kind = database_kind(key);
  if (kind == KIND_LIST && (answer_old || expected != NULL)) return reply(to, wrong_type), false;
  if (kind == KIND_STRING) database_get(key, &old);
  const bool matches = !(only_absent && kind != KIND_ABSENT) && !(only_present && kind == KIND_ABSENT) &&
                       !(expected != NULL && (kind != KIND_STRING || !same(old, *expected)));
  if (answer_old) {
    if (kind == KIND_STRING) reply_text(to, old);
    else reply(to, null_bulk);
  } else {
    reply(to, matches ? "+OK\r\n" : null_bulk);
  }
  if (!matches) return true;
  database_set(key, value);
  disturb_watchers(key);
  return true;
}

static void collect(struct text element, void *context) { reply_text(context, element); }

static bool range(const struct command *command, struct buffer *to) {
  if (!is(command->arguments[2], "0") || !is(command->arguments[3], "-1")) {
    return reply(to, "-ERR value is not one this store knows: whole lists only (LRANGE key 0 -1)\r\n"), false;
  }
  if (database_kind(command->arguments[1]) == KIND_STRING) return reply(to, wrong_type), false;
  struct buffer elements = {0};
  const long long count = database_list(command->arguments[1], collect, &elements);
  reply_array(to, count);
  if (elements.length > 0) append(to, elements.bytes, elements.length);
  free(elements.bytes);
  return true;
}

/* Runs a command and answers it. False when it was refused; then it has changed nothing. */
static bool perform(const struct command *command, struct buffer *to) {
  const struct text name = command->arguments[0];
  const struct text *arguments = command->arguments + 1;
  const int count = command->count - 1;
  if (is(name, "PING")) return reply(to, "+PONG\r\n"), true;
  if (is(name, "INFO")) {
    char line[64];
    const int length = snprintf(line, sizeof line, "sqlite_version:%s\r\n", database_version());
    return reply_text(to, (struct text){line, (size_t)length}), true;
  }
  if (is(name, "GET") && count == 1) {
    struct text value;
    if (database_get(arguments[0], &value)) return reply_text(to, value), true;
    const bool list = database_kind(arguments[0]) == KIND_LIST;
    return reply(to, list ? wrong_type : null_bulk), !list;
  }
  if (is(name, "SET") && count >= 2) return set(command, to);
  if (is(name, "DEL") && count == 1) {
    const int removed = database_remove(arguments[0]);
    if (removed) disturb_watchers(arguments[0]);
    return reply_integer(to, removed), true;
  }
  if (is(name, "RPUSH") && count == 2) {
    if (database_kind(arguments[0]) == KIND_STRING) return reply(to, wrong_type), false;
    reply_integer(to, database_append(arguments[0], arguments[1]));
    disturb_watchers(arguments[0]);
    return true;
  }
  if (is(name, "LRANGE") && count == 3) return range(command, to);
  char shown[41], line[128];
  size_t length = 0;
  /* What cannot be printed could end the line, and begin a reply that nobody gave. */
  for (; length < name.length && length < sizeof shown - 1; length++) {
    const unsigned char byte = (unsigned char)name.bytes[length];
    shown[length] = byte > ' ' && byte < 127 ? (char)byte : '?';
  }
  shown[length] = '\0';
  snprintf(line, sizeof line, "-ERR unknown command or wrong number of arguments: '%s'\r\n", shown);
  return reply(to, line), false;
}

/* --- transactions of clients --- */

static void discard(struct client *client) {
  client->queueing = client->refused_while_queueing = false;
  client->queue.length = 0;
  client->queued = 0;
  unwatch(client);
}

static void execute_queue(struct client *client) {
  if (client->refused_while_queueing) return reply(&client->output, "-EXECABORT a command was refused\r\n");
  if (client->disturbed) return reply(&client->output, "*-1\r\n");
  struct buffer replies = {0};
  struct command command;
  size_t length;
  bool kept = true;
  database_part_begin();
  struct text rest = {client->queue.bytes, client->queue.length};
  while (kept && rest.length > 0 && parse(rest, &command, &length) == PARSED) {
    kept = perform(&command, &replies);
    rest = (struct text){rest.bytes + length, rest.length - length};
  }
  database_part_end(kept);
  if (kept) {
    reply_array(&client->output, client->queued);
    if (replies.length > 0) append(&client->output, replies.bytes, replies.length);
  } else {
    reply(&client->output, "-EXECABORT a command failed, so all of them were undone\r\n");
  }
  free(replies.bytes);
}

static void handle(struct client *client, const struct command *command, struct text raw) {
  const struct text name = command->arguments[0];
  struct buffer *to = &client->output;
  client->answered++;
  if (is(name, "MULTI")) {
    client->queueing = true;
    return reply(to, "+OK\r\n");
  }
  if (is(name, "EXEC") || is(name, "DISCARD")) {
    if (!client->queueing) reply(to, "-ERR EXEC without MULTI\r\n");
    else if (is(name, "EXEC")) execute_queue(client);
    else reply(to, "+OK\r\n");
    return discard(client);
  }
  if (client->queueing) {
    append(&client->queue, raw.bytes, raw.length);
    client->queued++;
    return reply(to, "+QUEUED\r\n");
  }
  if (is(name, "WATCH")) {
    for (int i = 1; i < command->count; i++) watch(client, command->arguments[i]);
    return reply(to, "+OK\r\n");
  }
  if (is(name, "UNWATCH")) {
    unwatch(client);
    return reply(to, "+OK\r\n");
  }
  perform(command, to);
}

/* --- connections --- */

static void accept_clients(int listener) {
  for (;;) {
    const int socket = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (socket < 0) return;
    struct client *client = client_count < CLIENTS_MAX ? calloc(1, sizeof *client) : NULL;
    if (client == NULL) {
      static const char full[] = "-ERR max number of clients reached\r\n";
      send(socket, full, sizeof full - 1, MSG_NOSIGNAL);
      close(socket);
      continue;
    }
    const int on = 1;
    setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    client->socket = socket;
    clients[client_count++] = client;
  }
}

static void remove_client(int index) {
  struct client *client = clients[index];
  close(client->socket);
  unwatch(client);
  free(client->input.bytes);
  free(client->output.bytes);
  free(client->queue.bytes);
  free(client);
  clients[index] = clients[--client_count];
}

static void receive(struct client *client) {
  char bytes[65536];
  for (;;) {
    const ssize_t got = recv(client->socket, bytes, sizeof bytes, 0);
    if (got > 0) append(&client->input, bytes, (size_t)got);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) client->closing = true;
    if (got < (ssize_t)sizeof bytes) return;
  }
}

static void serve(struct client *client) {
  struct command command;
  size_t length;
  while (!client->closing) {
    const struct text input = {client->input.bytes, client->input.length};
    const enum parsed parsed = parse(input, &command, &length);
    if (parsed == INCOMPLETE) return;
    if (parsed == MALFORMED) {
      reply(&client->output, "-ERR Protocol error: expected an array of bulk strings\r\n");
      client->closing = true;
      return;
    }
    if (!in_transaction) database_begin();
    in_transaction = true;
    handle(client, &command, (struct text){input.bytes, length});
    drop_front(&client->input, length);
  }
}

/* Takes back every reply of the transaction that could not be committed. */
static void answer_with_failure(struct client *client) {
  char line[320];
  client->output.length = client->released;
  snprintf(line, sizeof line, "-IOERR %s\r\n", database_complaint());
  while (client->answered-- > 0) reply(&client->output, line);
  client->closing = true;
}

static void commit(void) {
  const bool committed = !in_transaction || database_commit();
  if (!committed) fprintf(stderr, "sqlite store: %s\n", database_complaint());
  in_transaction = false;
  for (int i = 0; i < client_count; i++) {
    if (!committed && clients[i]->answered > 0) answer_with_failure(clients[i]);
    clients[i]->answered = 0;
    clients[i]->released = clients[i]->output.length;
  }
}

static void flush(struct client *client) {
  if (client->output.length == 0) return;
  const ssize_t sent = send(client->socket, client->output.bytes, client->output.length, MSG_NOSIGNAL);
  if (sent < 0 && errno != EAGAIN && errno != EINTR) {
    client->closing = true;
    client->output.length = 0;
  }
  if (sent > 0) drop_front(&client->output, (size_t)sent);
  client->released = client->output.length;
}

static int listen_on(int port, int *chosen) {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const int on = 1;
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  socklen_t length = sizeof address;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (listener < 0) die("socket");
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, BACKLOG) != 0 ||
      getsockname(listener, (struct sockaddr *)&address, &length) != 0) {
    die("cannot listen on 127.0.0.1");
  }
  *chosen = ntohs(address.sin_port);
  return listener;
}

static void on_stop(int signal) {
  (void)signal;
  told_to_stop = 1;
}

int main(int count, char **words) {
  if (count == 2 && strcmp(words[1], "--version") == 0) return puts(database_version()), 0;
  if (count != 5) {
    fprintf(stderr, "usage: %s --version | PORT DIR FULL|NORMAL CHECKPOINT_PAGES\n", words[0]);
    return 2;
  }
  const struct sigaction stop = {.sa_handler = on_stop};
  sigaction(SIGTERM, &stop, NULL);
  sigaction(SIGINT, &stop, NULL);
  int port;
  database_open(words[2], words[3], atoi(words[4]));
  const int listener = listen_on(atoi(words[1]), &port);
  printf("{\"ready\":true,\"port\":%d}\n", port);
  fflush(stdout);

  while (!told_to_stop) {
    struct pollfd polled[CLIENTS_MAX + 1] = {{.fd = listener, .events = POLLIN}};
    for (int i = 0; i < client_count; i++) {
      const short events = POLLIN | (clients[i]->output.length > 0 ? POLLOUT : 0);
      polled[i + 1] = (struct pollfd){.fd = clients[i]->socket, .events = events};
    }
    const int known = client_count;
    /* A signal between the test above and poll is noticed within a second. */
    if (poll(polled, (nfds_t)known + 1, 1000) < 0) continue;
    for (int i = 0; i < known; i++) {
      if (polled[i + 1].revents & (POLLIN | POLLHUP | POLLERR)) receive(clients[i]);
      serve(clients[i]);
    }
    commit();
    for (int i = client_count - 1; i >= 0; i--) {
      flush(clients[i]);
      if (clients[i]->closing && clients[i]->output.length == 0) remove_client(i);
    }
    if (polled[0].revents & POLLIN) accept_clients(listener);
  }
  database_close();
  return 0;
}
