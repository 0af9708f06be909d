/* The floor of the bench: what handing over a message costs in C, with epoll and OpenSSL, on one thread.
 *
 *     bench_floor PORT starttls|tls|none CONNECTIONS CA_FILE BYTES MILLISECONDS <AUTH_LINE
 *
 * Connects to 127.0.0.1:PORT again and again, CONNECTIONS at a time, and says each time what the daemon says: EHLO,
 * STARTTLS, EHLO, AUTH, MAIL, RCPT, DATA, a message of so many BYTES, QUIT. Each reply is checked, each certificate verified, no
 * session resumed. "none" leaves TLS out and says EHLO twice all the same. The line with the credentials comes by
 * stdin. Prints one line: messages that were taken, conversations that failed, real seconds, CPU seconds.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { MOST_CONNECTIONS = 4096, REPLY = 2048, LEAST_BODY = 80, MOST_BODY = 1 << 20, CREDENTIALS = 512, PATIENCE = 20 /* seconds */ };

enum mode { STARTTLS, TLS, NONE };

/* What is said when the reply has come that was waited for; the last step waits for the answer to QUIT. */
struct step {
    const char *wanted; /* the reply's code */
    const char *say;
    size_t length;
    int secures; /* the reply is followed by a handshake, and that by what is said */
};

struct talk {
    int fd;
    SSL *ssl; /* NULL while in clear */
    int step;
    int shaking;            /* the handshake is under way */
    size_t got, said;       /* bytes of the reply, and of what is being said */
    int saying;             /* something is not yet written */
    const char *text;       /* what is being said */
    size_t length;
    char reply[REPLY];
};

static struct step steps[16];
static int last_step;
static struct talk talks[MOST_CONNECTIONS];
static SSL_CTX *context;
static struct sockaddr_in server;
static enum mode mode;
static int poll_fd, under_way, no_more;
static long taken, failed;
static char body[MOST_BODY + 8], auth[CREDENTIALS + 16], mail[80];

static void fail(const char *what)
{
    fprintf(stderr, "bench_floor: %s: %s\n", what, strerror(errno));
    exit(1);
}

static double now(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec + at.tv_nsec / 1e9;
}

static void watch(struct talk *talk, int what, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = talk};
    if (epoll_ctl(poll_fd, what, talk->fd, &event) < 0)
        fail("epoll_ctl");
}

static void begin(struct talk *talk);

static void end(struct talk *talk, int well)
{
    well ? taken++ : failed++;
    if (talk->ssl) {
        if (well)
            SSL_shutdown(talk->ssl);
        SSL_free(talk->ssl);
        talk->ssl = NULL;
    }
    ERR_clear_error();
    close(talk->fd);
    under_way--;
    if (!no_more && failed < 100) /* a server that takes nothing is not asked for ever */
        begin(talk);
}

/* TLS from here on: the handshake itself is driven by what the socket can do. */
static int secure(struct talk *talk)
{
    talk->ssl = SSL_new(context);
    if (!talk->ssl || !SSL_set_fd(talk->ssl, talk->fd) || !SSL_set1_host(talk->ssl, "localhost"))
        return 0;
    SSL_set_tlsext_host_name(talk->ssl, "localhost");
    SSL_set_connect_state(talk->ssl);
    talk->shaking = 1;
    return 1;
}

static void begin(struct talk *talk)
{
    int on = 1;
    memset(talk, 0, offsetof(struct talk, reply));
    talk->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (talk->fd < 0)
        fail("socket");
    setsockopt(talk->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    under_way++;
    if (connect(talk->fd, (struct sockaddr *)&server, sizeof server) < 0 && errno != EINPROGRESS)
        fail("connect");
    if (mode == TLS && !secure(talk))
        fail("SSL_new");
    watch(talk, EPOLL_CTL_ADD, EPOLLIN | EPOLLOUT | EPOLLET); /* edges: each side is tried until it would block */
}

/* 1: done; 0: the socket would block; -1: over. */
static int blocked(struct talk *talk, int result)
{
    if (talk->ssl) {
        int why = SSL_get_error(talk->ssl, result);
        return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? 0 : -1;
    }
    return result < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINPROGRESS) ? 0 : -1;
}

static int write_on(struct talk *talk)
{
    while (talk->said < talk->length) {
        const char *from = talk->text + talk->said;
        int left = (int)(talk->length - talk->said);
        int wrote = talk->ssl ? SSL_write(talk->ssl, from, left) : (int)send(talk->fd, from, left, MSG_NOSIGNAL);
        if (wrote <= 0)
            return blocked(talk, wrote);
        talk->said += wrote;
    }
    talk->saying = 0;
    return 1;
}

static int say(struct talk *talk)
{
    struct step *step = &steps[talk->step++];
    talk->text = step->say;
    talk->length = step->length;
    talk->said = talk->got = 0;
    talk->saying = 1;
    return write_on(talk);
}

/* Whether the reply is whole: its last line has no hyphen behind the code. -1: not a reply, or not the one wanted. */
static int judge(struct talk *talk)
{
    char *line = talk->reply, *end_of_line;
    talk->reply[talk->got] = 0;
    while ((end_of_line = strstr(line, "\r\n"))) {
        if (strncmp(line, steps[talk->step].wanted, 3))
            return -1;
        if (line[3] != '-')
            return end_of_line + 2 == talk->reply + talk->got ? 1 : -1; /* no reply that nobody asked for */
        line = end_of_line + 2;
    }
    return talk->got + 1 < REPLY ? 0 : -1;
}

/* Goes on until the socket would block. -1: the conversation failed; 2: it ended well. */
static int go_on(struct talk *talk)
{
    for (;;) {
        int got, state;
        if (talk->shaking) {
            int done = SSL_do_handshake(talk->ssl);
            if (done != 1)
                return blocked(talk, done);
            talk->shaking = 0;
            if (mode == STARTTLS && (state = say(talk)) < 0)
                return -1;
        }
        if (talk->saying && (state = write_on(talk)) <= 0)
            return state;
        got = talk->ssl ? SSL_read(talk->ssl, talk->reply + talk->got, REPLY - 1 - (int)talk->got)
                        : (int)recv(talk->fd, talk->reply + talk->got, REPLY - 1 - talk->got, 0);
        if (got <= 0)
            return blocked(talk, got);
        talk->got += got;
        if ((state = judge(talk)) < 0)
            return -1;
        if (!state)
            continue;
        if (talk->step == last_step)
            return 2;
        if (steps[talk->step].secures) {
            talk->got = 0;
            if (!secure(talk))
                return -1;
            continue;
        }
        if (say(talk) < 0)
            return -1;
    }
}

static void add_step(const char *wanted, const char *text, int secures)
{
    steps[last_step++] = (struct step){.wanted = wanted, .say = text, .length = strlen(text), .secures = secures};
}

static void write_script(void)
{
    add_step("220", "EHLO [127.0.0.1]\r\n", 0);
    if (mode == STARTTLS) {
        add_step("250", "STARTTLS\r\n", 0);
        add_step("220", "EHLO [127.0.0.1]\r\n", 1);
    } else if (mode == NONE) {
        add_step("250", "EHLO [127.0.0.1]\r\n", 0);
    }
    add_step("250", auth, 0);
    add_step("235", mail, 0);
    add_step("250", "RCPT TO:<ben@domain2.test>\r\n", 0);
    add_step("250", "DATA\r\n", 0);
    add_step("354", body, 0);
    add_step("250", "QUIT\r\n", 0);
    steps[last_step].wanted = "221";
}

static void prepare(const char *ca_file, size_t size)
{
    size_t at, length;
    memcpy(auth, "AUTH PLAIN ", 11);
    if (!fgets(auth + 11, CREDENTIALS, stdin))
        fail("no credentials");
    length = strcspn(auth, "\r\n");
    memcpy(auth + length, "\r\n", 3);
    snprintf(mail, sizeof mail, "MAIL FROM:<ada@domain1.test> SIZE=%zu\r\n", size);
    for (at = 0; at < size; at++)
        body[at] = at % 76 == 74 ? '\r' : at % 76 == 75 ? '\n' : "warm"[at % 4];
    memcpy(body + size - 5, "\r\n.\r\n", 6);
    write_script();
    signal(SIGPIPE, SIG_IGN); /* OpenSSL writes without MSG_NOSIGNAL */
    if ((poll_fd = epoll_create1(EPOLL_CLOEXEC)) < 0)
        fail("epoll_create1");
    if (mode == NONE)
        return;
    context = SSL_CTX_new(TLS_client_method());
    if (!context || !SSL_CTX_load_verify_locations(context, ca_file, NULL))
        fail("no TLS");
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_RELEASE_BUFFERS);
}

static void run(double until)
{
    struct epoll_event events[256];
    while (under_way) {
        int at, ready = epoll_wait(poll_fd, events, 256, 100);
        double time = now();
        if (ready < 0 && errno != EINTR)
            fail("epoll_wait");
        no_more = time >= until;
        if (time >= until + PATIENCE) {
            failed += under_way;
            return;
        }
        for (at = 0; at < ready; at++) {
            struct talk *talk = events[at].data.ptr;
            int state = go_on(talk);
            if (state == 2 || state < 0)
                end(talk, state == 2);
        }
    }
}

int main(int count, char **words)
{
    struct rusage used;
    double began, took;
    int at, connections, size;
    if (count != 7)
        return fprintf(stderr, "usage: bench_floor PORT starttls|tls|none CONNECTIONS CA_FILE BYTES MILLISECONDS\n"), 2;
    mode = !strcmp(words[2], "tls") ? TLS : !strcmp(words[2], "none") ? NONE : STARTTLS;
    connections = atoi(words[3]);
    if (connections < 1 || connections > MOST_CONNECTIONS)
        return fprintf(stderr, "bench_floor: 1 to %d connections\n", MOST_CONNECTIONS), 2;
    size = atoi(words[5]);
    if (size < LEAST_BODY || size > MOST_BODY)
        return fprintf(stderr, "bench_floor: %d to %d bytes\n", LEAST_BODY, MOST_BODY), 2;
    server.sin_family = AF_INET;
    server.sin_port = htons((uint16_t)atoi(words[1]));
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    prepare(words[4], (size_t)size);
    began = now();
    for (at = 0; at < connections; at++)
        begin(&talks[at]);
    run(began + atoi(words[6]) / 1e3);
    took = now() - began;
    getrusage(RUSAGE_SELF, &used);
    printf("%ld %ld %.6f %.6f\n", taken, failed, took,
           used.ru_utime.tv_sec + used.ru_stime.tv_sec + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6);
    return 0;
}
