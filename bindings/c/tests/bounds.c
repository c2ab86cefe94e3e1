/* A stop takes no longer than its deadline, even if a handler blocks. */
#include "common.h"

static atomic_int begun, left_alone, released;

static void hold(void *user_data UNUSED, const transom_request *request UNUSED, transom_responder *responder)
{
    atomic_fetch_add(&begun, 1);
    while (!atomic_load(&released))
        pause_ms(5);
    transom_responder_send_text(responder, 200, "late");
    atomic_fetch_add(&left_alone, 1);
}

static long now_ms(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000L + time.tv_nsec / 1000000L;
}

static void *pull(void *server)
{
    static uint8_t buf[4096];
    uint32_t count;
    size_t length;
    CHECK_STATUS(transom_server_next_batch(server, buf, sizeof buf, 1, TRANSOM_FOREVER, &count, &length),
                 TRANSOM_STOPPED);
    return NULL;
}

/* Returns the milliseconds that stopping a server takes in this model while a handler blocks. */
static long stop(const char *model, int in_place, int free_only)
{
    transom_server *server = transom_server_new();
    pthread_t puller;
    long start_ms, took;
    int fd;

    atomic_store(&begun, 0);
    atomic_store(&left_alone, 0);
    atomic_store(&released, 0);
    OK(transom_server_set_model(server, model, NULL));
    OK(transom_server_set_timeout(server, "stop", 300, NULL));
    OK(transom_server_set_workers(server, 2, NULL));
    if (in_place)
        OK(add_inline(server, "GET", "/hold", hold, NULL, NULL));
    else
        OK(transom_server_route(server, "GET", "/hold", hold, NULL, NULL, NULL));
    OK(transom_server_add(server, transom_route_new_pull("GET", "/pull", 1), NULL));
    start(server);
    fd = connect_to(transom_server_port(server));
    ask(fd, "GET", "/hold");
    EVENTUALLY(atomic_load(&begun) == 1);
    if (!free_only)
        CHECK(pthread_create(&puller, NULL, pull, server) == 0);
    start_ms = now_ms();
    if (free_only) {
        transom_server_free(server);
        took = now_ms() - start_ms;
    } else {
        /* A second stop shortens the deadline. */
        OK(transom_server_stop(server, PATIENCE_MS));
        OK(transom_server_stop(server, 300));
        /* Pulling threads return when no request can come any more. */
        CHECK(pthread_join(puller, NULL) == 0);
        took = now_ms() - start_ms;
        CHECK_STATUS(transom_server_wait(server, 0), TRANSOM_TIMEOUT);
    }
    atomic_store(&released, 1);
    EVENTUALLY(atomic_load(&left_alone) == 1);
    close(fd);
    if (!free_only) {
        OK(transom_server_wait(server, PATIENCE_MS));
        transom_server_free(server);
    }
    return took;
}

int main(void)
{
    static const char *const models[] = {"event", "threads", "sequential"};
    size_t i;
    int in_place, free_only;
    /* The handlers block for longer, and so does the deadline that is shortened. */
    const long most = PATIENCE_MS / 2;

    for (i = 0; i < sizeof models / sizeof models[0]; i++)
        for (in_place = 0; in_place < 2; in_place++)
            for (free_only = 0; free_only < 2; free_only++) {
                long took = stop(models[i], in_place, free_only);
                if (took < 250 || took > most)
                    fprintf(stderr, "%s, %d, %d: %ld ms\n", models[i], in_place, free_only, took);
                CHECK(took >= 250 && took <= most);
            }
    return 0;
}
