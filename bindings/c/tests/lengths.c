/* Bodies written piece by piece with a Content-Length, and bodies that are not sent. */
#include "common.h"

#define ROUNDS 100

/* A request, the writes of its handler, and the results that are expected. */
struct body {
    int status;
    const char *length; /* NULL: no Content-Length */
    const char *pieces[3];
    int written[3];
    int finished;
};

static const struct body BODIES[] = {
    {200, "10", {"01234", "56789", NULL}, {0, 0, 0}, TRANSOM_OK},
    {200, "5", {"01234", "5", NULL}, {0, TRANSOM_BODY_TOO_LONG, 0}, TRANSOM_OK},
    {200, "5", {"0123", "456", "4"}, {0, TRANSOM_BODY_TOO_LONG, 0}, TRANSOM_OK},
    {200, "10", {"01234", NULL, NULL}, {0, 0, 0}, TRANSOM_BODY_TOO_SHORT},
    {200, "10", {NULL, NULL, NULL}, {0, 0, 0}, TRANSOM_BODY_TOO_SHORT},
    {200, "0", {NULL, NULL, NULL}, {0, 0, 0}, TRANSOM_OK},
    {200, NULL, {"01234", "56789", NULL}, {0, 0, 0}, TRANSOM_OK},
    {204, NULL, {"01234", "56789", NULL}, {0, 0, 0}, TRANSOM_OK},
    {205, NULL, {"01234", NULL, NULL}, {0, 0, 0}, TRANSOM_OK},
    {304, "10", {"01234", NULL, NULL}, {0, 0, 0}, TRANSOM_OK},
};

/* A request whose body is to be written, by the handler or by another thread. */
struct task {
    transom_responder *responder;
    int number;
    int is_head;
    int slow;
};

static atomic_int done;

/* Writes the body that a request asks for, and checks what each call returns. */
static void fill(const struct task *task)
{
    const struct body *body = &BODIES[task->number];
    const transom_field header = TRANSOM_FIELD("Content-Length", body->length ? body->length : "");
    transom_writer *writer;
    size_t i;
    OK(transom_responder_start(task->responder, (uint16_t)body->status, &header, body->length != NULL, &writer, NULL));
    for (i = 0; i < 3 && body->pieces[i] != NULL; i++) {
        const uint8_t *piece = (const uint8_t *)body->pieces[i];
        if (task->slow)
            pause_ms(5);
        CHECK_STATUS(transom_writer_write(writer, piece, TRANSOM_NUL_TERMINATED, 0),
                     task->is_head ? TRANSOM_OK : body->written[i]);
    }
    if (task->slow)
        pause_ms(5);
    CHECK_STATUS(transom_writer_finish(writer), task->is_head ? TRANSOM_OK : body->finished);
    CHECK_STATUS(transom_writer_finish(writer), TRANSOM_ALREADY_ANSWERED);
    atomic_fetch_add(&done, 1);
}

static void *fill_elsewhere(void *task)
{
    fill(task);
    free(task);
    return NULL;
}

static struct task task_of(const transom_request *request, transom_responder *responder)
{
    struct task task;
    transom_bytes number = transom_request_param(request, "number");
    task.responder = responder;
    for (task.number = 0; number.len > 0; number.data++, number.len--)
        task.number = task.number * 10 + (*number.data - '0');
    task.is_head = is(transom_request_method(request), "HEAD");
    task.slow = 0;
    return task;
}

static void here(void *user_data UNUSED, const transom_request *request, transom_responder *responder)
{
    struct task task = task_of(request, responder);
    fill(&task);
}

static void elsewhere(void *user_data UNUSED, const transom_request *request, transom_responder *responder)
{
    pthread_t thread;
    struct task *task = malloc(sizeof *task);
    CHECK(task != NULL);
    *task = task_of(request, responder);
    task->slow = is(transom_request_query(request), "slow");
    CHECK(pthread_create(&thread, NULL, fill_elsewhere, task) == 0);
    pthread_detach(thread);
}

static void ask_for(uint16_t port, const char *method, const char *where, int number, struct reply *reply)
{
    const struct body *body = &BODIES[number];
    int is_head = strcmp(method, "HEAD") == 0, before = atomic_load(&done);
    char target[64];
    int fd = connect_to(port);
    snprintf(target, sizeof target, where, number);
    ask(fd, method, target);
    hear(fd, reply);
    CHECK(reply->status == body->status);
    if (is_head || body->status != 200)
        CHECK(reply->body[0] == '\0');
    else if (body->length != NULL && body->finished == TRANSOM_OK)
        CHECK(strlen(reply->body) == (size_t)atoi(body->length));
    else if (body->length != NULL)
        CHECK(strlen(reply->body) < (size_t)atoi(body->length));
    EVENTUALLY(atomic_load(&done) == before + 1);
}

static void try_all(const char *model)
{
    static struct reply reply;
    transom_server *server = transom_server_new();
    int number, round, count = (int)(sizeof BODIES / sizeof BODIES[0]);
    uint16_t port;

    OK(transom_server_set_model(server, model, NULL));
    OK(transom_server_route(server, NULL, "/here/{number}", here, NULL, NULL, NULL));
    OK(add_inline(server, NULL, "/inline/{number}", here, NULL, NULL));
    OK(transom_server_route(server, NULL, "/elsewhere/{number}", elsewhere, NULL, NULL, NULL));
    port = start(server);
    for (number = 0; number < count; number++) {
        const char *methods[] = {"GET", "HEAD"};
        size_t i;
        for (i = 0; i < 2; i++) {
            ask_for(port, methods[i], "/here/%d", number, &reply);
            ask_for(port, methods[i], "/inline/%d", number, &reply);
            ask_for(port, methods[i], "/elsewhere/%d", number, &reply);
            ask_for(port, methods[i], "/elsewhere/%d?slow", number, &reply);
        }
    }
    /* The client often has the response before the handler has finished. */
    for (round = 0; round < ROUNDS; round++)
        ask_for(port, "GET", "/elsewhere/%d", 0, &reply);
    transom_server_free(server);
}

/* Answers pulled requests with BODIES[0] and BODIES[3]. */
static void pull(void)
{
    static struct reply reply;
    static _Alignas(8) uint8_t buf[4096];
    transom_server *server = transom_server_new();
    int number;
    uint16_t port;
    OK(transom_server_add(server, transom_route_new_pull(NULL, "/", 1), NULL));
    port = start(server);
    for (number = 0; number <= 3; number += 3) {
        struct task task = {NULL, number, 0, 0};
        uint32_t count;
        size_t len;
        uint64_t token;
        int fd = connect_to(port);
        ask(fd, "GET", "/");
        OK(transom_server_next_batch(server, buf, sizeof buf, 1, PATIENCE_MS, &count, &len));
        CHECK(count == 1);
        memcpy(&token, buf + 8, sizeof token);
        task.responder = transom_token_responder(token);
        fill(&task);
        hear(fd, &reply);
        CHECK(strlen(reply.body) == (number == 0 ? 10 : 5));
    }
    transom_server_free(server);
}

int main(void)
{
    try_all("event");
    try_all("threads");
    try_all("sequential");
    pull();
    return 0;
}
