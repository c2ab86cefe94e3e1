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

/* Two connections whose requests wait for their responses. */
static void expect_handling(transom_server *server)
{
    transom_connection_info list[3];
    size_t count = 0, i;
    EVENTUALLY(transom_server_in_state(server, TRANSOM_CONNECTION_HANDLING) == 2);
    OK(transom_server_connections(server, list, sizeof list[0], 3, &count));
    CHECK(count == 2);
    for (i = 0; i < count; i++) {
        CHECK(list[i].state == TRANSOM_CONNECTION_HANDLING && strncmp(list[i].peer, "127.0.0.1:", 10) == 0);
        CHECK(transom_bytes_equal(list[i].route, i == 0 ? "/keep" : "/pull") ||
              transom_bytes_equal(list[i].route, i == 0 ? "/pull" : "/keep"));
        CHECK(list[i].bytes_in > 0 && list[i].bytes_out == 0 && list[i].requests == 0);
        CHECK(list[i].deadline_ms > 0 && list[i].deadline_ms <= 60000);
    }
    /* Those for which there is room, in a structure of a later version. */
    {
        struct {
            transom_connection_info known;
            uint64_t later;
        } longer[2];
        memset(longer, 0xff, sizeof longer);
        OK(transom_server_connections(server, &longer[0].known, sizeof longer[0], 1, &count));
        CHECK(count == 2 && longer[0].known.state == TRANSOM_CONNECTION_HANDLING && longer[0].later == 0);
        CHECK(longer[1].later == UINT64_MAX);
    }
    OK(transom_server_connections(server, NULL, sizeof list[0], 0, &count));
    CHECK(count == 2);
    CHECK(strcmp(transom_connection_state_name(list[0].state), "handling") == 0);
    CHECK(strcmp(transom_deadline_name(TRANSOM_DEADLINE_IDLE), "idle") == 0);
    CHECK(strcmp(transom_connection_state_name(0), "unknown") == 0);
    CHECK(strcmp(transom_deadline_name(-1), "unknown") == 0);
    CHECK(transom_server_expired(server, TRANSOM_DEADLINE_IDLE) == 0);
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
    stats.size = offsetof(transom_stats, opening) - 1;
    CHECK_STATUS(transom_server_stats(server, &stats), TRANSOM_INVALID_ARGUMENT);
    memcpy(&before, &stats, sizeof before);
    CHECK(before[0] == offsetof(transom_stats, opening) - 1);
    stats.size = offsetof(transom_stats, opening);
    stats.opening = 7;
    OK(transom_server_stats(server, &stats));
    CHECK(stats.opening == 7);

    CHECK(get(port, "/", &reply) == 200);
    fd = connect_to(port);
    say(fd, "GET / HTTP/1.1\r\n\r\n");
    hear(fd, &reply);
    CHECK(reply.status == 400);
    EVENTUALLY(stats_of(server).connections == 0);
    stats = stats_of(server);
    CHECK(stats.bytes_in > 0 && stats.bytes_out > 0 && stats.opening == 0);
    CHECK(stats.tls_handshakes == 0 && stats.tls_failures == 0);
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
    expect_handling(server);
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
