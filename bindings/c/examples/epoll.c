/*
 * Requests in the program's own epoll loop, on its own thread: no callback runs anywhere else.
 * The loop also has a timer, as a stand-in for what else the program does.
 *
 *     curl http://127.0.0.1:8080/ticks             ticks: 3
 */
#include "example.h"

#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

static bool watch(int epoll, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

/* Answers the requests that are queued. */
static void serve(transom_server *server, unsigned long ticks)
{
    const transom_request *request;
    transom_responder *responder;
    while (transom_server_next(server, &request, &responder, NULL, 0) == TRANSOM_OK) {
        char text[256];
        snprintf(text, sizeof text, "%.*s: %lu\n", TRANSOM_PRINT(transom_request_param(request, "what")), ticks);
        transom_responder_send_text(responder, 200, text);
    }
}

int main(int argc, char **argv)
{
    const struct itimerspec second = {{1, 0}, {1, 0}};
    sigset_t stop = block_stop_signals();
    transom_server *server = transom_server_new();
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    int signals = signalfd(-1, &stop, SFD_CLOEXEC);
    int requests = transom_server_event_fd(server);
    unsigned long ticks = 0;
    bool ended = false;

    timerfd_settime(timer, 0, &second, NULL);
    if (!watch(epoll, timer) || !watch(epoll, signals) || !watch(epoll, requests))
        return 1;
    transom_server_add(server, transom_route_new_pull("GET", "/{what}", 0), NULL);
    start(server, argc, argv);

    while (!ended) {
        struct epoll_event event;
        uint64_t expirations;
        if (epoll_wait(epoll, &event, 1, -1) != 1)
            continue;
        if (event.data.fd == requests)
            serve(server, ticks);
        else if (event.data.fd == timer && read(timer, &expirations, sizeof expirations) > 0)
            ticks += expirations;
        else if (event.data.fd == signals)
            ended = true;
    }
    transom_server_free(server);
    close(signals);
    close(timer);
    close(epoll);
    return 0;
}
