/*
 * The watchdog: the pull queue, parts of the program, and threads that take events.
 */
#include "common.h"

static transom_server *server;
static uint16_t port;
static struct reply reply;

/* Finds a part that is stuck. */
static int find(const char *name, transom_stuck *found)
{
    transom_stuck list[8];
    size_t count = 0, i;
    OK(transom_server_stuck(server, list, sizeof list[0], 8, &count));
    for (i = 0; i < count && i < 8; i++)
        if (strcmp(list[i].name, name) == 0) {
            *found = list[i];
            return 1;
        }
    return 0;
}

/* Waits until a part is stuck and the liveness route says so. */
static transom_stuck expect_stuck(const char *name)
{
    transom_stuck stuck;
    char line[100];
    EVENTUALLY(find(name, &stuck));
    snprintf(line, sizeof line, "stuck: %s, for ", name);
    CHECK(get(port, "/alive", &reply) == 503);
    CHECK(strstr(reply.body, line) != NULL);
    CHECK(stuck.lasted_ns >= 100 * 1000000);
    return stuck;
}

static void expect_alive(const char *name)
{
    transom_stuck stuck;
    int is_alive = 0;
    EVENTUALLY(!find(name, &stuck));
    /* On a busy machine another part may seem to be stuck for a moment. */
    EVENTUALLY(is_alive = is_alive || get(port, "/alive", &reply) == 200);
    CHECK(strcmp(reply.body, "alive\n") == 0);
}

static void the_pull_queue(void)
{
    const transom_request *request;
    transom_responder *responder;
    transom_stuck stuck;
    int fd = connect_to(port);
    ask(fd, "GET", "/pull");
    stuck = expect_stuck("the pull queue");
    CHECK(strncmp(stuck.detail, "requests waiting: 1, the oldest for ", 36) == 0);
    OK(transom_server_next(server, &request, &responder, NULL, PATIENCE_MS));
    OK(transom_responder_send_text(responder, 200, "pulled"));
    hear(fd, &reply);
    CHECK(reply.status == 200);
    expect_alive("the pull queue");
}

static void a_load(void)
{
    transom_stuck stuck;
    OK(transom_server_set_load(server, "the printer", 0, 7));
    CHECK(!find("the printer", &stuck));
    OK(transom_server_set_load(server, "the printer", 3, 7));
    stuck = expect_stuck("the printer");
    CHECK(strcmp(stuck.detail, "waiting: 3") == 0);
    OK(transom_server_set_load(server, "the printer", 0, 7));
    expect_alive("the printer");
}

/* Takes an event and answers it, and returns whether the thread counts as turning. */
static int turns(transom_events *events)
{
    transom_event event;
    transom_stuck stuck;
    uint32_t count;
    OK(transom_events_next(events, &event, 1, PATIENCE_MS, &count));
    CHECK(event.kind == TRANSOM_EVENT_WATCHDOG && event.token != 0);
    /* The second answer, and one to no question, do nothing. */
    OK(transom_events_answer(events, event.token));
    OK(transom_events_answer(events, event.token));
    OK(transom_events_answer(events, event.token + 1));
    return !find("my loop", &stuck);
}

static void a_thread_that_takes_events(void)
{
    transom_events *events = transom_events_new();
    transom_event event;
    transom_stuck stuck;
    uint32_t count;
    int turned = 0;
    OK(transom_server_watch_events(server, events, "my loop", "it prints"));
    stuck = expect_stuck("my loop");
    CHECK(strcmp(stuck.detail, "it prints") == 0);
    EVENTUALLY(turned = turned || turns(events));
    /* An event that was taken is not yet an answer. */
    OK(transom_events_next(events, &event, 1, PATIENCE_MS, &count));
    expect_stuck("my loop");
    CHECK_STATUS(transom_events_next(events, &event, 1, 0, &count), TRANSOM_TIMEOUT);
    OK(transom_events_close(events));
    expect_alive("my loop");
    transom_events_free(events);
}

/* A structure of a later header, and no room at all. */
static void sizes(void)
{
    struct {
        transom_stuck known;
        uint64_t later;
    } longer[2];
    size_t count = 7;
    OK(transom_server_set_load(server, "the printer", 1, 8));
    expect_stuck("the printer");
    memset(longer, 0xff, sizeof longer);
    OK(transom_server_stuck(server, &longer[0].known, sizeof longer[0], 1, &count));
    CHECK(count >= 1 && longer[0].known.lasted_ns > 0 && longer[0].later == 0 && longer[1].later == UINT64_MAX);
    OK(transom_server_stuck(server, NULL, sizeof longer[0], 0, &count));
    CHECK(count >= 1);
    CHECK_STATUS(transom_server_stuck(server, &longer[0].known, sizeof(transom_stuck) - 1, 1, &count),
                 TRANSOM_INVALID_ARGUMENT);
    CHECK_STATUS(transom_server_stuck(server, &longer[0].known, sizeof(transom_stuck), SIZE_MAX, &count),
                 TRANSOM_INVALID_ARGUMENT);
}

/* Without the timeout nothing is watched. */
static void without(void)
{
    transom_events *events = transom_events_new();
    transom_server *other = transom_server_new();
    uint32_t taken;
    transom_event event;
    size_t count = 7;
    OK(transom_server_add_liveness(other, "/alive", NULL));
    port = start(other);
    OK(transom_server_watch_events(other, events, "my loop", NULL));
    OK(transom_server_set_load(other, "the printer", 1, 1));
    CHECK_STATUS(transom_events_next(events, &event, 1, 0, &taken), TRANSOM_TIMEOUT);
    OK(transom_server_stuck(other, NULL, sizeof(transom_stuck), 0, &count));
    CHECK(count == 0);
    CHECK(get(port, "/alive", &reply) == 200);
    transom_server_free(other);
    transom_events_free(events);
}

int main(void)
{
    server = transom_server_new();
    CHECK_STATUS(transom_server_set_timeout(server, "watchdog", 9, NULL), TRANSOM_INVALID_ARGUMENT);
    OK(transom_server_set_timeout(server, "watchdog", 100, NULL));
    OK(transom_server_add(server, transom_route_new_pull("GET", "/pull", 1), NULL));
    OK(transom_server_add_liveness(server, "/alive", NULL));
    CHECK_STATUS(transom_server_add_liveness(server, "/alive", NULL), TRANSOM_BAD_ROUTE);
    port = start(server);
    expect_alive("the pull queue");
    the_pull_queue();
    a_load();
    a_thread_that_takes_events();
    sizes();
    transom_server_free(server);
    without();
    return 0;
}
