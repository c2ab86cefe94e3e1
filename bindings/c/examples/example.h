/*
 * Shared by the examples: starting a server on the address that the program was given, and
 * waiting for SIGINT or SIGTERM.
 */
#ifndef EXAMPLE_H
#define EXAMPLE_H

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <transom.h>

/* Blocks the two signals. Call this before any thread starts: only sigwait gets them then. */
static inline sigset_t block_stop_signals(void)
{
    sigset_t stop;
    sigemptyset(&stop);
    sigaddset(&stop, SIGINT);
    sigaddset(&stop, SIGTERM);
    sigprocmask(SIG_BLOCK, &stop, NULL);
    return stop;
}

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
