/* mw-handshakes PORT SECONDS CLIENTS full|resumed 1.2|1.3: as many TLS connections, one request
 * each, as CLIENTS processes can make one after the other. Prints how many there were and how many
 * of them resumed a session: what a server's CPU time is to be divided by. */
#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char request[] = "GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n";

struct load {
    struct sockaddr_in server;
    time_t until_s;
    bool resumes;
    int version;
    struct count {
        unsigned long connections, resumed, failed;
    } * count; /* shared with the clients */
};

static time_t now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

/* The latest session of the connection at hand. */
static int keep_session(SSL *ssl, SSL_SESSION *session)
{
    SSL_SESSION **kept = SSL_get_app_data(ssl);
    SSL_SESSION_free(*kept);
    *kept = session;
    return 1;
}

/* One connection, from its beginning to the server's goodbye. */
static bool talk(const struct load *load, SSL *ssl)
{
    char buf[4096];
    int fd = socket(AF_INET, SOCK_STREAM, 0), got = 0;
    bool good = connect(fd, (const struct sockaddr *)&load->server, sizeof load->server) == 0 &&
                SSL_set_fd(ssl, fd) == 1 && SSL_connect(ssl) == 1 &&
                SSL_write(ssl, request, sizeof request - 1) > 0;
    size_t total = 0;
    while (good && (got = SSL_read(ssl, buf, sizeof buf)) > 0)
        total += (size_t)got;
    good = good && total > 0 && SSL_get_error(ssl, got) == SSL_ERROR_ZERO_RETURN;
    SSL_shutdown(ssl);
    close(fd);
    return good;
}

static void run_client(const struct load *load)
{
    SSL_SESSION *session = NULL;
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_min_proto_version(context, load->version);
    SSL_CTX_set_max_proto_version(context, load->version);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(context, keep_session);
    while (now_s() < load->until_s) {
        SSL *ssl = SSL_new(context);
        SSL_set_app_data(ssl, &session);
        if (load->resumes && session != NULL)
            SSL_set_session(ssl, session);
        bool good = talk(load, ssl);
        __atomic_fetch_add(good ? &load->count->connections : &load->count->failed, 1,
                           __ATOMIC_RELAXED);
        if (good && SSL_session_reused(ssl))
            __atomic_fetch_add(&load->count->resumed, 1, __ATOMIC_RELAXED);
        SSL_free(ssl);
    }
    SSL_SESSION_free(session);
    SSL_CTX_free(context);
}

int main(int argc, char **argv)
{
    if (argc != 6) {
        fprintf(stderr, "usage: mw-handshakes PORT SECONDS CLIENTS full|resumed 1.2|1.3\n");
        return 1;
    }
    struct load load = {
        .server = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)},
        .until_s = now_s() + strtol(argv[2], NULL, 10),
        .resumes = strcmp(argv[4], "resumed") == 0,
        .version = strcmp(argv[5], "1.2") == 0 ? TLS1_2_VERSION : TLS1_3_VERSION,
    };
    load.server.sin_port = htons((uint16_t)strtoul(argv[1], NULL, 10));
    load.count =
        mmap(NULL, sizeof *load.count, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGPIPE, &ignore, NULL);
    for (long i = strtol(argv[3], NULL, 10); i > 0; i--) {
        pid_t pid = fork();
        if (pid == 0) {
            run_client(&load);
            _exit(0);
        }
    }
    while (wait(NULL) > 0)
        ;
    printf("%lu connections, %lu resumed, %lu failed\n", load.count->connections,
           load.count->resumed, load.count->failed);
    return load.count->connections > 0 && load.count->failed == 0 ? 0 : 1;
}
