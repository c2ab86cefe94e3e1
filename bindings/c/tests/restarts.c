/* A server that is started and stopped many times leaves nothing behind. */
#include "common.h"

#define TIMES 200

#ifdef _WIN32
#include <tlhelp32.h>

/* Returns the number of threads of this process. */
static int threads_now(void)
{
    HANDLE all = CreateToolhelp32Snapshot(TH32CS_SNAPTHREAD, 0);
    THREADENTRY32 thread = {.dwSize = sizeof thread};
    int number = 0;
    CHECK(all != INVALID_HANDLE_VALUE);
    for (BOOL more = Thread32First(all, &thread); more; more = Thread32Next(all, &thread))
        number += thread.th32OwnerProcessID == GetCurrentProcessId();
    CloseHandle(all);
    return number;
}
#else
static int threads_now(void)
{
    return entries("/proc/self/task");
}
#endif

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
            threads = threads_now();
            descriptors = descriptors_now();
        }
    }
    CHECK(started == 0);
    EVENTUALLY(stopped >= 4 * TIMES); /* two workers, a pool thread, and the free function */
    EVENTUALLY(threads_now() <= threads);
    EVENTUALLY(descriptors_now() <= descriptors);
    return 0;
}
