/* The time that requests wait is limited, and a socket may have places of its own. */
#include "common.h"

enum { TOO_LONG_MS = 30 };

static uint16_t last_port(const transom_server *server, size_t index)
{
    char address[64];

    CHECK(transom_server_address(server, index, address, sizeof address) > 0);
    return (uint16_t)atoi(strrchr(address, ':') + 1);
}

static transom_stats counters(const transom_server *server)
{
    transom_stats stats;

    stats.size = sizeof stats;
    OK(transom_server_stats(server, &stats));
    return stats;
}

static void add(transom_server *server, transom_route *route, const char *priority)
{
    OK(transom_route_set_priority(route, priority));
    OK(transom_server_add(server, route, NULL));
}

/* A queue of the program's own, as `transom_congestion` judges it. */
static void own_queue(void)
{
    const uint64_t ms = 1000000;
    transom_congestion *congestion;
    int time;

    CHECK(transom_congestion_new(-1, 0) == NULL);
    CHECK(transom_congestion_new(6, 5) == NULL);
    congestion = transom_congestion_new(5, 10);
    CHECK(congestion != NULL);
    transom_congestion_note_idle(congestion);
    CHECK(!transom_congestion_admits(congestion, "normal", 0, 11 * ms));
    CHECK(transom_congestion_admits(congestion, "vital", 1000, 1000 * ms));
    CHECK(!transom_congestion_may_start(congestion, "normal", 100 * ms));
    /* It is never empty, and so it is overloaded in the end. */
    EVENTUALLY(transom_congestion_is_overloaded(congestion));
    CHECK(transom_congestion_admits(congestion, "high", 0, 9 * ms));
    CHECK(!transom_congestion_admits(congestion, "normal", 0, 9 * ms));
    CHECK(transom_congestion_admits(congestion, NULL, 0, 4 * ms));
    CHECK(!transom_congestion_admits(congestion, "low", 0, 4 * ms));
    CHECK(transom_congestion_may_start(congestion, "normal", 7 * ms));
    CHECK(!transom_congestion_may_start(congestion, "normal", 8 * ms));
    /* It moves on so slowly that eight starts last longer than the target. */
    for (time = 0; time < 40; ++time) {
        transom_congestion_note_start(congestion, 1000 * ms, 1);
        pause_ms(2);
    }
    CHECK(transom_congestion_admits(congestion, "normal", 0, 9 * ms));
    transom_congestion_free(congestion);
    /* One that was freed refuses nothing, and neither does NULL. */
    CHECK(transom_congestion_admits(congestion, "low", 1000, 1000 * ms));
    CHECK(transom_congestion_may_start(NULL, NULL, 1000 * ms));
    CHECK(transom_congestion_admits(NULL, "low", 1000, 1000 * ms));
    CHECK(!transom_congestion_is_overloaded(NULL));
    transom_congestion_note_idle(NULL);
    transom_congestion_note_start(NULL, 0, 1);
    CHECK(!transom_congestion_is_overloaded(congestion));
    transom_congestion_note_idle(congestion);
    transom_congestion_note_start(congestion, 0, 1);
    transom_congestion_free(congestion);
    transom_congestion_free(NULL);
}

int main(void)
{
    static struct reply reply;
    transom_server *server = transom_server_new();
    transom_error *error = NULL;
    transom_route *bad;
    const transom_request *request;
    transom_responder *responder;
    uint32_t route_id = 0;
    uint16_t port;
    int full[2], first, vital;

    own_queue();
    /* A nonsensical setting is an error. */
    CHECK_STATUS(transom_server_set_overload(server, -1, 0, &error), TRANSOM_INVALID_ARGUMENT);
    CHECK(strstr(transom_error_message(error), "target_ms is 1 to") != NULL);
    transom_error_free(error);
    CHECK_STATUS(transom_server_set_overload(server, 6, 5, NULL), TRANSOM_INVALID_ARGUMENT);
    CHECK_STATUS(transom_server_set_overload(NULL, 0, 0, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_reserve(NULL, 1, NULL), TRANSOM_NULL_ARGUMENT);
    CHECK_STATUS(transom_server_set_listener_reserve(NULL, 0, 1, NULL), TRANSOM_NULL_ARGUMENT);
    bad = transom_route_new_pull("GET", "/bad", 9);
    CHECK_STATUS(transom_route_set_priority(bad, "hihg"), TRANSOM_INVALID_ARGUMENT);
    CHECK_STATUS(transom_server_add(server, bad, &error), TRANSOM_INVALID_ARGUMENT);
    CHECK(strstr(transom_error_message(error), "Did you mean 'high'?") != NULL);
    transom_error_free(error);
    CHECK_STATUS(transom_route_set_priority(NULL, "high"), TRANSOM_NULL_ARGUMENT);
    bad = transom_route_new_pull("GET", "/bad", 9);
    CHECK_STATUS(transom_route_set_priority(bad, NULL), TRANSOM_NULL_ARGUMENT);
    transom_route_free(bad);

    OK(transom_server_set_overload(server, 0, 0, NULL));
    OK(transom_server_set_overload(server, 1, 1, NULL));
    OK(transom_server_set_limit(server, "connections", 2, NULL));
    OK(transom_server_reserve(server, 9, NULL));
    OK(transom_server_bind(server, "127.0.0.1:0", NULL));
    OK(transom_server_reserve(server, 4, NULL));
    /* Had the first socket kept its places, the connections below would not fill the common ones. */
    OK(transom_server_set_listener_reserve(server, 0, 0, NULL));
    CHECK_STATUS(transom_server_set_listener_reserve(server, 1, 1, NULL), TRANSOM_OUT_OF_RANGE);
    add(server, transom_route_new_pull("GET", "/normal", 1), "normal");
    add(server, transom_route_new_pull("GET", "/vital", 2), "vital");
    add(server, transom_route_new_pull("GET", "/low", 3), "low");
    CHECK(start(server) != 0);
    port = last_port(server, 1);

    /* The common places are taken, which those of this socket do not feel. */
    full[0] = connect_to(transom_server_port(server));
    full[1] = connect_to(transom_server_port(server));
    EVENTUALLY(counters(server).connections == 2);
    /* While nobody fetches, a second request would wait as long as the first has. */
    first = connect_to(port);
    ask(first, "GET", "/normal");
    EVENTUALLY(counters(server).pull_queued == 1);
    pause_ms(TOO_LONG_MS);
    get(port, "/low", &reply);
    CHECK(reply.status == 503 && strstr(reply.text, "\r\nretry-after: 1\r\n") != NULL);
    vital = connect_to(port);
    ask(vital, "GET", "/vital");
    EVENTUALLY(counters(server).pull_queued == 2);
    pause_ms(TOO_LONG_MS);

    /* The vital request is fetched first, and the other is too late. */
    OK(transom_server_next(server, &request, &responder, &route_id, PATIENCE_MS));
    CHECK(route_id == 2);
    OK(transom_responder_send_text(responder, 200, "alive"));
    hear(vital, &reply);
    CHECK(reply.status == 200 && strcmp(reply.body, "alive") == 0);
    CHECK_STATUS(transom_server_next(server, &request, &responder, &route_id, 0), TRANSOM_TIMEOUT);
    hear(first, &reply);
    CHECK(reply.status == 503);
    EVENTUALLY(transom_server_refused(server, TRANSOM_REJECT_OVERLOADED) == 2);

    /* The program refuses a request that has waited in a queue of its own. */
    first = connect_to(port);
    ask(first, "GET", "/vital");
    OK(transom_server_next(server, &request, &responder, &route_id, PATIENCE_MS));
    CHECK_STATUS(transom_responder_refuse(responder, 0), TRANSOM_INVALID_ARGUMENT);
    CHECK_STATUS(transom_responder_refuse(NULL, TRANSOM_REJECT_OVERLOADED), TRANSOM_NULL_ARGUMENT);
    OK(transom_responder_refuse(responder, TRANSOM_REJECT_OVERLOADED));
    CHECK_STATUS(transom_responder_refuse(responder, TRANSOM_REJECT_OVERLOADED), TRANSOM_ALREADY_ANSWERED);
    hear(first, &reply);
    CHECK(reply.status == 503 && strstr(reply.text, "\r\nretry-after: 1\r\n") != NULL);
    EVENTUALLY(transom_server_refused(server, TRANSOM_REJECT_OVERLOADED) == 3);
    CHECK(strcmp(transom_reject_name(TRANSOM_REJECT_OVERLOADED), "overloaded") == 0);
    close(full[0]);
    close(full[1]);
    transom_server_free(server);
    return 0;
}
