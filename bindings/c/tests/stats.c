/* The counters of a server. */
#include "common.h"

static transom_responder *_Atomic kept;

static void keep(void *user_data UNUSED, const transom_request *request UNUSED, transom_responder *responder)
{
    atomic_store(&kept, responder);
}

static transom_stats stats_of(transom_server *server)
{
    transom_stats stats;
    memset(&stats, 0xff, sizeof stats);
    stats.size = sizeof stats;
    OK(transom_server_stats(server, &stats));
    CHECK(stats.size == sizeof stats);
    return stats;
}

int main(void)
{
    static struct reply reply;
    transom_server *server = transom_server_new();
    transom_stats stats;
    uint64_t before[2] = {0, 0};
    uint16_t port;
    int fd, pulled;

    OK(transom_server_route(server, "GET", "/", say_hello, NULL, NULL, NULL));
    OK(transom_server_route(server, "GET", "/keep", keep, NULL, NULL, NULL));
    OK(transom_server_add(server, transom_route_new_pull("GET", "/pull", 1), NULL));
    port = start(server);
    stats = stats_of(server);
    CHECK(stats.connections == 0 && stats.accepted == 0 && stats.requests == 0 && stats.refused == 0);

    /* A host that was compiled with an older header gets the members that it knows. */
    stats.size = sizeof stats - 1;
    CHECK_STATUS(transom_server_stats(server, &stats), TRANSOM_INVALID_ARGUMENT);
    memcpy(&before, &stats, sizeof before);
    CHECK(before[0] == sizeof stats - 1);

    CHECK(get(port, "/", &reply) == 200);
    fd = connect_to(port);
    say(fd, "GET / HTTP/1.1\r\n\r\n");
    hear(fd, &reply);
    CHECK(reply.status == 400);
    EVENTUALLY(stats_of(server).connections == 0);
    stats = stats_of(server);
    CHECK(stats.accepted == 2 && stats.requests == 1 && stats.pending == 0 && stats.refused == 1);
    CHECK(stats.pool_threads >= 1 && stats.pool_queued == 0 && stats.pull_queued == 0 && stats.body_bytes == 0);
    EVENTUALLY(stats_of(server).pool_busy == 0);
    CHECK(transom_server_refused(server, TRANSOM_REJECT_MISSING_HOST) == 1);
    CHECK(transom_server_refused(server, TRANSOM_REJECT_BAD_HOST) == 0);
    CHECK(transom_server_refused(server, 0) == 0 && transom_server_refused(server, -1) == 0);
    CHECK(transom_server_refused(server, INT32_MAX) == 0);

    fd = connect_to(port);
    ask(fd, "GET", "/keep");
    EVENTUALLY(atomic_load(&kept) != NULL);
    pulled = connect_to(port);
    ask(pulled, "GET", "/pull");
    EVENTUALLY(stats_of(server).pull_queued == 1);
    CHECK(stats_of(server).pending == 2 && stats_of(server).connections == 2);
    OK(transom_server_stop(server, 0));
    OK(transom_server_wait(server, PATIENCE_MS));
    EVENTUALLY(stats_of(server).cut == 2);
    stats = stats_of(server);
    CHECK(stats.pending == 0 && stats.requests == 1);
    transom_responder_free(atomic_load(&kept));
    close(fd);
    close(pulled);
    transom_server_free(server);
    return 0;
}
