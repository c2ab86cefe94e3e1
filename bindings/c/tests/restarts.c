/* A server that is started and stopped many times leaves nothing behind. */
#include "common.h"

#include <dirent.h>

#define TIMES 200

static int entries(const char *path)
{
    DIR *dir = opendir(path);
    int number = 0;
    CHECK(dir != NULL);
    while (readdir(dir) != NULL)
        number++;
    closedir(dir);
    return number;
}

int main(void)
{
    static struct reply reply;
    atomic_int started = 0, stopped = 0, freed = 0;
    int threads = 0, descriptors = 0, i;

    for (i = 0; i < TIMES; i++) {
        transom_server *server = transom_server_new();
        OK(transom_server_set_workers(server, 2, NULL));
        OK(transom_server_set_thread_hooks(server, count, count, &started, NULL));
        OK(transom_server_set_thread_hooks(server, NULL, count, &stopped, count));
        OK(transom_server_route(server, "GET", "/", say_hello, &freed, count, NULL));
        OK(transom_server_add(server, transom_route_new_pull("GET", "/pull", 1), NULL));
        CHECK(transom_server_event_fd(server) >= 0);
        CHECK(get(start(server), "/", &reply) == 200);
        if (i % 2) {
            OK(transom_server_stop(server, 1000));
            OK(transom_server_wait(server, PATIENCE_MS));
        }
        transom_server_free(server);
        CHECK(freed == i + 1);
        if (i == 0) {
            /* By now everything that the process has only once exists. */
            threads = entries("/proc/self/task");
            descriptors = entries("/proc/self/fd");
        }
    }
    CHECK(started == 0);
    EVENTUALLY(stopped >= 4 * TIMES); /* two workers, a pool thread, and the free function */
    EVENTUALLY(entries("/proc/self/task") <= threads);
    EVENTUALLY(entries("/proc/self/fd") <= descriptors);
    return 0;
}
