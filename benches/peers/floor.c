/* The least that a server can do, to tell what the kernel alone costs: it receives something, reads none of it, and sends the
 * same number of bytes as the others do, with the same calls. One thread, epoll, no signature, no log. Not a server to use.
 *
 *     floor PORT BODY HEAD memory|file|close FROM FILE...
 *
 * BODY bytes of a FILE, from position FROM on, behind a head of HEAD bytes: out of memory in one call (`close`: and the
 * connection is closed behind it), or with sendfile. Started by `run --floor`. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

struct connection { int socket, file; off_t at; size_t left; };

static int port, memory, closes, files, opened[64], turn;
static size_t body, head;
static off_t from;
static char answers[64][32 * 1024];

/* Heads must be read by the client: status, length, and padding up to the size of ours. */
static void prepare(char **names) {
    for (int i = 0; i < files; i++) {
        opened[i] = open(names[i], O_RDONLY);
        const char *status = body < 1000 ? "403 Forbidden" : from ? "206 Partial Content" : "200 OK";
        int said = snprintf(answers[i], head, "HTTP/1.1 %s\r\ncontent-length: %zu\r\n%spadding: ", status, body,
                            closes ? "connection: close\r\n" : "");
        memset(answers[i] + said, 'x', head - said - 4);
        memcpy(answers[i] + head - 4, "\r\n\r\n", 4);
        if (opened[i] < 0 || (memory && pread(opened[i], answers[i] + head, body, from) != (ssize_t)body)) exit(1);
    }
}

static void leave(struct connection *c) { close(c->socket); free(c); }

static void answer(struct connection *c) {
    char request[4096];
    if (!c->left) {
        ssize_t got = recv(c->socket, request, sizeof request, 0);
        if (got == 0 || (got < 0 && errno != EAGAIN)) { leave(c); return; }
        if (got < 0) return;
        int i = turn++ % files;
        if (memory) {
            send(c->socket, answers[i], head + body, MSG_NOSIGNAL | (closes ? MSG_MORE : 0));
            if (closes) leave(c);
            return;
        }
        send(c->socket, answers[i], head, MSG_NOSIGNAL | MSG_MORE);
        c->file = opened[i]; c->at = from; c->left = body;
    }
    while (c->left) {
        ssize_t sent = sendfile(c->socket, c->file, &c->at, c->left);
        if (sent <= 0) return;
        c->left -= sent;
    }
}

int main(int count, char **words) {
    if (count < 7 || count > 70) return 2;
    port = atoi(words[1]); body = atol(words[2]); head = atol(words[3]); from = atol(words[5]);
    closes = !strcmp(words[4], "close"); memory = closes || !strcmp(words[4], "memory"); files = count - 6;
    if (head < 200 || head + (memory ? body : 0) > sizeof answers[0]) return 2;
    prepare(words + 6);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(listener, SOL_TCP, TCP_NODELAY, &one, sizeof one);
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (bind(listener, (void *)&here, sizeof here) || listen(listener, 4096)) { perror("floor"); return 1; }
    int watch = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL}, events[64];
    epoll_ctl(watch, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int told = epoll_wait(watch, events, 64, -1);
        for (int i = 0; i < told; i++) {
            struct connection *c = events[i].data.ptr;
            if (c) { answer(c); continue; }
            int accepted = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
            if (accepted < 0) continue;
            c = calloc(1, sizeof *c);
            c->socket = accepted;
            struct epoll_event its = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = c};
            epoll_ctl(watch, EPOLL_CTL_ADD, accepted, &its);
        }
    }
}
