/*
 * Shared by the examples: starting a server on the address that the program was given, and
 * waiting for SIGINT or SIGTERM, or for Ctrl-C on Windows.
 */
#ifndef EXAMPLE_H
#define EXAMPLE_H

#include <stdio.h>
#include <stdlib.h>
#include <transom.h>

#ifdef _WIN32
#include "example_windows.h"
#else
#include <signal.h>

typedef sigset_t stop_signals;

/* Blocks SIGINT and SIGTERM. Call this before any thread starts: only sigwait gets them then. */
static inline stop_signals block_stop_signals(void)
{
    sigset_t stop;
    sigemptyset(&stop);
    sigaddset(&stop, SIGINT);
    sigaddset(&stop, SIGTERM);
    sigprocmask(SIG_BLOCK, &stop, NULL);
    return stop;
}

static inline void wait_for_stop(const stop_signals *stop)
{
    int signal_number;
    sigwait(stop, &signal_number);
}
#endif

/* Starts the server and says where it listens. Ends the program if that fails. */
static inline void start(transom_server *server, int argc, char **argv)
{
    transom_error *error;
    char address[128];
    if (transom_server_start(server, argc > 1 ? argv[1] : "127.0.0.1:8080", &error) != TRANSOM_OK) {
        fprintf(stderr, "%s: %s\n", argv[0], transom_error_message(error));
        exit(1);
    }
    transom_server_address(server, 0, address, sizeof address);
    printf("listening on http://%s\n", address);
    fflush(stdout);
}

#endif
