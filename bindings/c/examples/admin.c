/*
 * An admin page in a program that does something else: a worker that counts, as a stand-in for
 * the program's own work. Handlers read and change its state under a mutex.
 *
 *     curl http://127.0.0.1:8080/status            {"done":12,"paused":false,"interval_ms":100}
 *     curl -X POST http://127.0.0.1:8080/pause
 *     curl -X PUT http://127.0.0.1:8080/interval/5
 */
#include "example.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

/* The state of the program. */
struct work {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned long done;
    long interval_ms;
    bool paused, ended;
};

/* The program's own work. */
static void *run(void *argument)
{
    struct work *work = argument;
    pthread_mutex_lock(&work->lock);
    while (!work->ended) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += work->interval_ms * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000L;
        until.tv_nsec %= 1000000000L;
        pthread_cond_timedwait(&work->changed, &work->lock, &until);
        if (!work->paused)
            work->done++;
    }
    pthread_mutex_unlock(&work->lock);
    return NULL;
}

/* Sends the state as JSON. */
static void status(void *user_data, const transom_request *request, transom_responder *responder)
{
    static const transom_field json = TRANSOM_FIELD("content-type", "application/json");
    struct work *work = user_data;
    char text[128];
    int length;
    (void)request;
    pthread_mutex_lock(&work->lock);
    length = snprintf(text, sizeof text, "{\"done\":%lu,\"paused\":%s,\"interval_ms\":%ld}\n", work->done,
                      work->paused ? "true" : "false", work->interval_ms);
    pthread_mutex_unlock(&work->lock);
    transom_responder_send(responder, 200, &json, 1, text, (size_t)length, NULL);
}

/* POST /pause and POST /resume. */
static void pause_or_resume(void *user_data, const transom_request *request, transom_responder *responder)
{
    struct work *work = user_data;
    pthread_mutex_lock(&work->lock);
    work->paused = transom_request_path(request).len == strlen("/pause");
    pthread_mutex_unlock(&work->lock);
    status(work, request, responder);
}

/* PUT /interval/{ms} */
static void set_interval(void *user_data, const transom_request *request, transom_responder *responder)
{
    struct work *work = user_data;
    transom_bytes given = transom_request_param(request, "ms");
    long ms = 0;
    size_t i;
    for (i = 0; i < given.len && given.data[i] >= '0' && given.data[i] <= '9' && ms <= 60000; i++)
        ms = ms * 10 + (given.data[i] - '0');
    if (i == 0 || i < given.len || ms < 1 || ms > 60000) {
        transom_responder_send_text(responder, 400, "an interval is 1 to 60000 ms\n");
        return;
    }
    pthread_mutex_lock(&work->lock);
    work->interval_ms = ms;
    pthread_cond_signal(&work->changed);
    pthread_mutex_unlock(&work->lock);
    status(work, request, responder);
}

static void page(void *user_data, const transom_request *request, transom_responder *responder)
{
    static const transom_field html = TRANSOM_FIELD("content-type", "text/html; charset=utf-8");
    static const char text[] = "<!doctype html><title>admin</title><pre id=s></pre>"
                               "<button onclick=\"fetch('/pause',{method:'POST'})\">pause</button>"
                               "<button onclick=\"fetch('/resume',{method:'POST'})\">resume</button>"
                               "<script>setInterval(async()=>s.textContent=await(await fetch('/status')).text(),500)"
                               "</script>\n";
    (void)user_data;
    (void)request;
    transom_responder_send(responder, 200, &html, 1, text, sizeof text - 1, NULL);
}

int main(int argc, char **argv)
{
    struct work work = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 100, false, false};
    stop_signals stop = block_stop_signals();
    transom_server *server = transom_server_new();
    pthread_t worker;

    if (pthread_create(&worker, NULL, run, &work) != 0)
        return 1;
    transom_server_route(server, "GET", "/", page, NULL, NULL, NULL);
    transom_server_route(server, "GET", "/status", status, &work, NULL, NULL);
    transom_server_route(server, "POST", "/pause", pause_or_resume, &work, NULL, NULL);
    transom_server_route(server, "POST", "/resume", pause_or_resume, &work, NULL, NULL);
    transom_server_route(server, "PUT", "/interval/{ms}", set_interval, &work, NULL, NULL);
    start(server, argc, argv);

    wait_for_stop(&stop);
    transom_server_free(server); /* no handler runs any more, so `work` may go */
    pthread_mutex_lock(&work.lock);
    work.ended = true;
    pthread_cond_signal(&work.changed);
    pthread_mutex_unlock(&work.lock);
    pthread_join(worker, NULL);
    return 0;
}
