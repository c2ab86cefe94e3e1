/* Metrics: the sums are those of the load that was sent, in each model. */
#include "common.h"

#define CLIENTS 4
#define TIMES 5

static const char *const models[] = {"sequential", "threads", "event"};
static struct reply replies[CLIENTS];
static uint16_t port;

/* A snapshot, to be walked record by record. */
static union {
    uint64_t aligned;
    unsigned char bytes[1 << 20];
} records;
static size_t length;

static size_t shard = SIZE_MAX;

/* Of one shard, or of all. */
static void take(const transom_metrics *metrics)
{
    if (shard != SIZE_MAX)
        OK(transom_metrics_shard_snapshot(metrics, shard, records.bytes, sizeof records.bytes, &length));
    else
    OK(transom_metrics_snapshot(metrics, records.bytes, sizeof records.bytes, &length));
    CHECK(length % 8 == 0);
}

/* The responses with this method, route, status and error: "GET /a 200 -". NULL: all. */
static uint64_t counted(const transom_metrics *metrics, const char *wanted)
{
    uint64_t sum = 0;
    size_t at;
    take(metrics);
    for (at = 0; at < length;) {
        const transom_series_record *record = (const void *)(records.bytes + at);
        CHECK(record->record_len >= sizeof *record - 24 && record->record_len % 8 == 0);
        at += record->record_len;
        if (record->kind == TRANSOM_RECORD_SERIES) {
            const uint64_t *counts = (const uint64_t *)(record + 1);
            const char *text = (const char *)(counts + record->bucket_count);
            const char *route = text + record->method_len + record->scheme_len;
            char line[256];
            uint32_t bucket;
            uint64_t count = 0;
            for (bucket = 0; bucket < record->bucket_count; bucket++)
                count += counts[bucket];
            snprintf(line, sizeof line, "%.*s %.*s %d %.*s", (int)record->method_len, text,
                     record->route_len ? (int)record->route_len : 1, record->route_len ? route : "-",
                     record->status_code, record->error_len ? (int)record->error_len : 1,
                     record->error_len ? route + record->route_len : "-");
            CHECK(record->is_overflow || strncmp(text + record->method_len, "http", record->scheme_len) == 0);
            CHECK(record->version == 11 || record->version == 0);
            CHECK(count > 0 && record->bytes_out > 0 && record->reserved == 0);
            if (wanted == NULL || strcmp(line, wanted) == 0)
                sum += count;
        }
    }
    return sum;
}

/* The value of a metric. */
static double value(const transom_metrics *metrics, const char *name, const char *label)
{
    size_t at;
    take(metrics);
    for (at = 0; at < length;) {
        const transom_metric_record *record = (const void *)(records.bytes + at);
        at += record->record_len;
        if (record->kind == TRANSOM_RECORD_METRIC) {
            const char *text = (const char *)(record + 1);
            const char *of = text + record->name_len + record->description_len + record->unit_len + record->label_len;
            CHECK(record->metric_kind == TRANSOM_METRIC_COUNTER || record->metric_kind == TRANSOM_METRIC_GAUGE);
            if (strlen(name) == record->name_len && memcmp(text, name, record->name_len) == 0 &&
                strlen(label) == record->label_value_len && memcmp(of, label, record->label_value_len) == 0)
                return record->value;
        }
    }
    return -1;
}

static void fail(void *user_data UNUSED, const transom_request *request UNUSED, transom_responder *responder)
{
    transom_responder_send_text(responder, 503, "busy");
}

static void *load(void *argument)
{
    struct reply *reply = argument;
    int i, fd;
    for (i = 0; i < TIMES; i++) {
        CHECK(get(port, "/users/7", reply) == 200);
        CHECK(get(port, "/users/8?x=1", reply) == 200);
        CHECK(get(port, "/busy", reply) == 503);
        CHECK(get(port, "/nowhere", reply) == 404);
        fd = connect_to(port);
        say(fd, "GET / HTTP/1.1\r\n\r\n");
        hear(fd, reply);
        CHECK(reply->status == 400);
        fd = connect_to(port);
        ask(fd, "BREW", "/users/1");
        hear(fd, reply);
        CHECK(reply->status == 405);
    }
    return NULL;
}

static void sums(const char *model)
{
    pthread_t threads[CLIENTS];
    transom_metrics *metrics = transom_metrics_new(0);
    transom_server *server = transom_server_new();
    int i, clients = strcmp(model, "sequential") == 0 ? 1 : CLIENTS;
    uint64_t times = (uint64_t)(clients * TIMES), in_shards = 0;
    CHECK(metrics != NULL);
    OK(transom_server_set_model(server, model, NULL));
    OK(transom_server_add_metrics(server, metrics));
    OK(transom_server_route(server, "GET", "/users/{id}", say_hello, NULL, NULL, NULL));
    OK(transom_server_route(server, "GET", "/busy", fail, NULL, NULL, NULL));
    port = start(server);
    for (i = 0; i < clients; i++)
        CHECK(pthread_create(&threads[i], NULL, load, &replies[i]) == 0);
    for (i = 0; i < clients; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    EVENTUALLY(counted(metrics, NULL) == 6 * times);
    CHECK(counted(metrics, "GET /users/{id} 200 -") == 2 * times);
    CHECK(counted(metrics, "GET /busy 503 503") == times);
    CHECK(counted(metrics, "GET - 404 -") == times);
    CHECK(counted(metrics, "_OTHER - 400 missing-host") == times);
    CHECK(counted(metrics, "_OTHER - 405 -") == times);
    CHECK(value(metrics, "transom.connections.accepted", "") >= (double)(6 * times));
    CHECK(value(metrics, "transom.refusals", "missing-host") >= (double)times);
    CHECK(value(metrics, "no.such", "") < 0);
    CHECK_STATUS(transom_server_add_metrics(server, metrics), TRANSOM_ALREADY_STARTED);
    transom_server_free(server);
    CHECK(counted(metrics, NULL) == 6 * times);
    CHECK(transom_metrics_shard_count(metrics) > 1);
    for (shard = 0; shard < transom_metrics_shard_count(metrics); shard++) {
        in_shards += counted(metrics, NULL);
        CHECK(value(metrics, "transom.connections.accepted", "") < 0);
    }
    CHECK_STATUS(transom_metrics_shard_snapshot(metrics, shard, NULL, 0, &length), TRANSOM_INVALID_ARGUMENT);
    shard = SIZE_MAX;
    CHECK(in_shards == 6 * times);
    transom_metrics_free(metrics);
    CHECK(transom_metrics_shard_count(metrics) == 0);
    CHECK_STATUS(transom_metrics_snapshot(metrics, NULL, 0, &length), TRANSOM_ALREADY_ANSWERED);
}

/* A handler that holds its thread. */
static atomic_int held, go;

static void hold(void *user_data UNUSED, const transom_request *request UNUSED, transom_responder *responder)
{
    atomic_store(&held, 1);
    EVENTUALLY(atomic_load(&go));
    transom_responder_send_text(responder, 200, "done");
}

static void text_while_a_handler_is_stuck(void)
{
    static char text[65536];
    transom_metrics *metrics = transom_metrics_new(2);
    transom_server *server = transom_server_new();
    struct reply *reply = &replies[0];
    size_t need, count = 0;
    const double *bounds = transom_metrics_bounds(&count);
    int fd;
    CHECK(count == 19 && bounds[0] == 0.0001 && bounds[18] == 10.0 && transom_metrics_bounds(NULL) == bounds);
    OK(transom_server_add_metrics(server, metrics));
    OK(transom_server_add_metrics_route(server, "/metrics", metrics, NULL));
    CHECK_STATUS(transom_server_add_metrics_route(server, "/metrics", metrics, NULL), TRANSOM_BAD_ROUTE);
    OK(transom_server_route(server, "GET", "/hold", hold, NULL, NULL, NULL));
    OK(transom_server_set_limit(server, "pool_threads", 1, NULL));
    port = start(server);
    transom_metrics_free(metrics);
    metrics = transom_metrics_new(0);
    OK(transom_metrics_text(metrics, text, sizeof text, &need));
    transom_metrics_free(metrics);
    fd = connect_to(port);
    ask(fd, "GET", "/hold");
    EVENTUALLY(atomic_load(&held));
    CHECK(get(port, "/metrics", reply) == 200);
    CHECK(strstr(reply->body, "\ntransom_connections{state=\"handling\"} 2\n") != NULL);
    CHECK(get(port, "/nowhere", reply) == 404);
    EVENTUALLY((get(port, "/metrics", reply), strstr(reply->body, "otel_metric_overflow=\"true\"") != NULL));
    atomic_store(&go, 1);
    hear(fd, reply);
    CHECK(reply->status == 200);
    transom_server_free(server);
}

static void room(void)
{
    static char text[65536];
    transom_metrics *metrics = transom_metrics_new(0);
    transom_server *server = transom_server_new();
    size_t need = 0, got = 0;
    OK(transom_server_add_metrics(server, metrics));
    port = start(server);
    CHECK(get(port, "/", &replies[0]) == 404);
    EVENTUALLY(counted(metrics, NULL) == 1);
    CHECK_STATUS(transom_metrics_text(metrics, NULL, 0, &need), TRANSOM_BUFFER_TOO_SMALL);
    CHECK(need > 1000 && need < sizeof text);
    OK(transom_metrics_text(metrics, text, sizeof text, &got));
    CHECK(got > need / 2 && memcmp(text, "# TYPE ", 7) == 0 && text[got - 1] == '\n');
    CHECK_STATUS(transom_metrics_snapshot(metrics, text, 8, &need), TRANSOM_BUFFER_TOO_SMALL);
    OK(transom_metrics_snapshot(metrics, records.bytes, need, &got));
    CHECK(got == need);
    transom_server_free(server);
    transom_metrics_free(metrics);
}

int main(void)
{
    int i;
    for (i = 0; i < 3; i++)
        sums(models[i]);
    text_while_a_handler_is_stuck();
    room();
    return 0;
}
