/* Signals do not reach the threads of the library, and SIGPIPE does not reach the process. */
#include "common.h"

#include <dirent.h>
#include <signal.h>

static void slow_flood(void *user_data UNUSED, const transom_request *request UNUSED, transom_responder *responder)
{
    static const uint8_t piece[65536];
    transom_writer *writer;
    if (transom_responder_start(responder, 200, NULL, 0, &writer, NULL) != TRANSOM_OK)
        return;
    while (transom_writer_write(writer, piece, sizeof piece, TRANSOM_FOREVER) == TRANSOM_OK)
        ;
    transom_writer_free(writer);
}

static void large(void *user_data, const transom_request *request UNUSED, transom_responder *responder)
{
    transom_responder_send(responder, 200, NULL, 0, user_data, 8 << 20, NULL);
}

/* Returns the signal mask of one thread, or 0 if it has ended. */
static int read_mask(const char *path, unsigned long long *blocked)
{
    char line[256];
    int found = 0;
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return 0;
    while (fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "SigBlk: %llx", blocked) == 1)
            found = 1;
    fclose(file);
    return found;
}

static int faults_blocked(const char *path)
{
    unsigned long long blocked;
    return read_mask(path, &blocked) &&
           (blocked & (1ULL << (SIGSEGV - 1) | 1ULL << (SIGBUS - 1) | 1ULL << (SIGFPE - 1))) != 0;
}

/* Returns the number of other threads. Each must block every signal except those of its own faults. */
static int library_threads(void)
{
    DIR *tasks = opendir("/proc/self/task");
    struct dirent *entry;
    int threads = 0;
    CHECK(tasks != NULL);
    while ((entry = readdir(tasks)) != NULL) {
        char path[300];
        unsigned long long blocked;
        if (entry->d_name[0] == '.' || atol(entry->d_name) == (long)getpid())
            continue;
        snprintf(path, sizeof path, "/proc/self/task/%s/status", entry->d_name);
        if (!read_mask(path, &blocked))
            continue;
        threads++;
        CHECK(blocked & 1ULL << (SIGINT - 1));
        CHECK(blocked & 1ULL << (SIGTERM - 1));
        CHECK(blocked & 1ULL << (SIGPIPE - 1));
        CHECK(blocked & 1ULL << (SIGCHLD - 1));
        CHECK(blocked & 1ULL << (SIGUSR1 - 1));
        CHECK(blocked & 1ULL << (SIGALRM - 1));
        /* glibc blocks all signals while a thread starts and while it ends. */
        EVENTUALLY(!faults_blocked(path));
    }
    closedir(tasks);
    return threads;
}

static volatile sig_atomic_t handled;
static pthread_t main_thread;

static void handle(int number UNUSED)
{
    handled = pthread_equal(pthread_self(), main_thread) ? 1 : 2;
}

int main(void)
{
    static struct reply reply;
    void *bytes = calloc(1, 8 << 20);
    struct sigaction before, after;
    transom_server *server = transom_server_new();
    sigset_t mask;
    uint16_t port;
    int i, fd;

    main_thread = pthread_self();
    CHECK(sigaction(SIGPIPE, NULL, &before) == 0 && before.sa_handler == SIG_DFL);
    OK(transom_server_set_limit(server, "pool_threads", 4, NULL));
    OK(transom_server_route(server, NULL, "/hello", say_hello, NULL, NULL, NULL));
    OK(transom_server_route(server, NULL, "/flood", slow_flood, NULL, NULL, NULL));
    OK(transom_server_route(server, NULL, "/large", large, bytes, free, NULL));
    OK(add_inline(server, NULL, "/large/inline", large, bytes, NULL));
    port = start(server);
    CHECK(get(port, "/hello", &reply) == 200);
    CHECK(library_threads() >= 2);

    /* The mask of this thread is restored. */
    CHECK(pthread_sigmask(SIG_SETMASK, NULL, &mask) == 0);
    for (i = 1; i < 32; i++)
        CHECK(!sigismember(&mask, i));

    /* Without protection, clients that leave early would kill the process by SIGPIPE. */
    for (i = 0; i < 12; i++) {
        static const char *const targets[] = {"/flood", "/large", "/large/inline"};
        char some[1000];
        fd = connect_to(port);
        ask(fd, "GET", targets[i % 3]);
        CHECK(receive(fd, some, sizeof some, 0) > 0);
        if (i % 2)
            slam(fd);
        else
            close(fd);
    }
    CHECK(get(port, "/hello", &reply) == 200);
    CHECK(library_threads() >= 2);
    CHECK(sigaction(SIGPIPE, NULL, &after) == 0 && after.sa_handler == SIG_DFL);

    /* A signal for the process runs its handler on this thread. */
    signal(SIGUSR1, handle);
    kill(getpid(), SIGUSR1);
    EVENTUALLY(handled != 0);
    CHECK(handled == 1);
    transom_server_free(server);
    CHECK(sigaction(SIGUSR1, NULL, &after) == 0 && after.sa_handler == handle);
    return 0;
}
