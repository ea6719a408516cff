/* mw-engine: the command line. */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/conf/conf.h"
#include "engine/http/status.h"
#include "engine/master/control.h"
#include "engine/master/master.h"
#include "engine/os/log.h"
#include "engine/tls/tls_context.h"

#define DEFAULT_PREFIX "/usr/local/masterwork/"
#define DEFAULT_CONF "conf/nginx.conf"

struct command {
    struct master_options master;
    const char *signal; /* -s */
    bool test, dump, quiet, wait, version, build, help;
};

static bool parse(struct command *command, int argc, char **argv);
static bool complete(struct command *command, char **argv);
static int test_conf(const struct command *command);
static void print_version(bool build);
static void print_help(void);

int main(int argc, char **argv)
{
    struct command command = {0};
    sigset_t all;

    /* A signal that comes before there are handlers waits for them. */
    sigfillset(&all);
    if (!parse(&command, argc, argv))
        return 1;
    if (command.version || command.help) {
        print_version(command.build);
        if (command.help)
            print_help();
        return 0;
    }
    if (!complete(&command, argv))
        return 1;
    if (command.test)
        return test_conf(&command);
    if (command.signal != NULL)
        return control_send(&command.master, command.signal, command.wait);
    sigprocmask(SIG_SETMASK, &all, NULL);
    return master_run(&command.master);
}

/* ---- options --------------------------------------------------------------------------- */

static bool misuse(const char *what, const char *which)
{
    fprintf(stderr, "mw-engine: [emerg] %s \"%s\"; -h lists the options\n", what, which);
    return false;
}

static bool check_signal(const struct command *command)
{
    if (command->signal != NULL && !control_knows(command->signal))
        return misuse("-s takes stop, quit, reload, reopen or upgrade, not", command->signal);
    if (command->wait && (command->signal == NULL || strcmp(command->signal, "reload") != 0))
        return misuse("only a reload has an outcome to wait for: --wait goes with", "-s reload");
    return true;
}

/* Where the value of an option with one goes; NULL: it has none. */
static const char **text_of(struct command *command, int option)
{
    switch (option) {
    case 'c':
        return &command->master.conf_path;
    case 'p':
        return &command->master.prefix;
    case 'g':
        return &command->master.globals;
    case 'e':
        return &command->master.error_log;
    case 's':
        return &command->signal;
    default:
        return NULL;
    }
}

static bool *flag_of(struct command *command, int option)
{
    switch (option) {
    case 't':
        return &command->test;
    case 'T':
        return &command->dump;
    case 'q':
        return &command->quiet;
    case 'w':
        return &command->wait;
    case 'v':
        return &command->version;
    case 'V':
        return &command->build;
    case 'h':
        return &command->help;
    default:
        return NULL;
    }
}

static bool parse(struct command *command, int argc, char **argv)
{
    static const struct option longs[] = {{"wait", no_argument, NULL, 'w'},
                                          {"help", no_argument, NULL, 'h'},
                                          {"version", no_argument, NULL, 'v'},
                                          {NULL, 0, NULL, 0}};
    int option;

    opterr = 0;
    while ((option = getopt_long(argc, argv, ":c:p:g:e:s:tTqvVh", longs, NULL)) != -1) {
        const char **text = text_of(command, option);
        bool *flag = flag_of(command, option);
        if (text != NULL)
            *text = optarg;
        else if (flag != NULL)
            *flag = true;
        else if (option == ':')
            return misuse("a value is missing after", argv[optind - 1]);
        else if (strcmp(argv[optind - 1], "-?") == 0)
            command->help = true;
        else
            return misuse("unknown option", argv[optind - 1]);
    }
    command->test |= command->dump;
    command->version |= command->build;
    if (optind < argc)
        return misuse("not an option:", argv[optind]);
    return check_signal(command);
}

/* ---- paths ----------------------------------------------------------------------------- */

/* `path`, below `folder` unless it is absolute; ends in `end` ('/' or nothing). */
static const char *join(char out[PATH_MAX], const char *folder, const char *path, const char *end)
{
    size_t len = strlen(path);
    bool ended = len > 0 && *end != '\0' && path[len - 1] == *end;
    snprintf(out, PATH_MAX, "%s%s%s", path[0] == '/' ? "" : folder, path, ended ? "" : end);
    return out;
}

/* argv[0] as a path that stays right after the working directory changes. Links are kept: an
 * upgrade may mean to change what they point to. */
static const char *find_program(char out[PATH_MAX], const char *name, const char *here)
{
    char path[PATH_MAX];
    if (strchr(name, '/') != NULL)
        return join(out, here, name, "");
    const char *folders = getenv("PATH");
    while (folders != NULL && *folders != '\0') {
        size_t len = strcspn(folders, ":");
        snprintf(path, sizeof(path), "%.*s/%s", (int)len, folders, name);
        if (len > 0 && access(path, X_OK) == 0)
            return join(out, here, path, "");
        folders += len + (folders[len] == ':');
    }
    ssize_t len = readlink("/proc/self/exe", path, sizeof(path) - 1);
    path[len > 0 ? len : 0] = '\0';
    return join(out, "", path, "");
}

static bool complete(struct command *command, char **argv)
{
    static char program[PATH_MAX], prefix[PATH_MAX], conf_path[PATH_MAX], error_log[PATH_MAX];
    struct master_options *master = &command->master;
    char here[PATH_MAX];

    if (getcwd(here, sizeof(here) - 1) == NULL)
        return misuse("the working directory is not known:", strerror(errno));
    size_t len = strlen(here);
    memcpy(here + len, "/", 2);
    master->argv = argv;
    master->program = find_program(program, argv[0], here);
    master->prefix =
        join(prefix, here, master->prefix != NULL ? master->prefix : DEFAULT_PREFIX, "/");
    master->conf_path = join(conf_path, master->prefix,
                             master->conf_path != NULL ? master->conf_path : DEFAULT_CONF, "");
    if (master->error_log != NULL && strcmp(master->error_log, "stderr") != 0)
        master->error_log = join(error_log, master->prefix, master->error_log, "");
    return true;
}

/* ---- -t, -T ---------------------------------------------------------------------------- */

static int test_conf(const struct command *command)
{
    const struct master_options *master = &command->master;
    struct conf_error error;
    char text[1024];

    if (master->error_log != NULL)
        log_open(master->error_log, LEVEL_NOTICE);
    struct conf *conf = conf_load(master->conf_path, master->prefix, master->globals, &error);
    struct tls_contexts *tls = conf != NULL ? tls_contexts_open(conf, &error) : NULL;
    if (tls == NULL) {
        conf_free(conf);
        conf_error_print(&error, text, sizeof(text));
        fprintf(stderr, "mw-engine: %s\n", text);
        fprintf(stderr, "mw-engine: configuration file %s test failed\n", master->conf_path);
        return 1;
    }
    if (!command->quiet) {
        fprintf(stderr, "mw-engine: the configuration file %s syntax is ok\n", master->conf_path);
        fprintf(stderr, "mw-engine: configuration file %s test is successful\n", master->conf_path);
    }
    for (size_t i = 0; command->dump && i < conf->source_count; i++)
        printf("# configuration file %s:\n%s\n", conf->sources[i].path.at,
               conf->sources[i].text.at);
    control_sabotage_test(conf);
    tls_contexts_close(tls);
    conf_free(conf);
    return 0;
}

/* ---- -v, -V, -h ------------------------------------------------------------------------ */

static void print_version(bool build)
{
    fprintf(stderr, "engine version: masterwork/%s\n", SERVER_VERSION);
    if (!build)
        return;
    fprintf(stderr, "built by %s\n",
#ifdef __clang__
            "clang " __clang_version__
#else
            "gcc " __VERSION__
#endif
    );
    fprintf(stderr, "built with %s\nTLS SNI support enabled\n", OPENSSL_VERSION_TEXT);
    fprintf(stderr,
            "configure arguments: --prefix=%s --with-http_ssl_module "
            "--without-http_proxy_module --without-http_rewrite_module "
            "--without-http_fastcgi_module --without-http_uwsgi_module "
            "--without-http_scgi_module\n",
            DEFAULT_PREFIX);
}

static void print_help(void)
{
    fputs("usage: mw-engine [-c FILE] [-p PREFIX] [-g DIRECTIVES] [-e FILE] [-t|-T] [-q]\n"
          "                 [-s WORD [--wait]] [-v|-V|-h]\n"
          "  -c FILE        configuration (default: " DEFAULT_CONF ", relative to the prefix)\n"
          "  -p PREFIX      where relative paths start (default: " DEFAULT_PREFIX ")\n"
          "  -g DIRECTIVES  directives of the main level, after the file's\n"
          "  -e FILE        error log until the configuration names one\n"
          "  -t, -T         test the configuration and end; -T prints it too\n"
          "  -q             say nothing but errors while testing\n"
          "  -s WORD        stop, quit, reload, reopen or upgrade the running server\n"
          "  --wait         with -s reload: wait for the outcome, exit 0 only if it is ok\n"
          "  -v, -V, -h     version, how it was built, this\n",
          stderr);
}
