/*
 * The events that the servers send to each client of /events, 25 a second, and a thread that
 * makes them.
 */
#ifndef EVENTS_H
#define EVENTS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define EVENT_MS 40
#define EVENT_SIZE 64

/* Writes the event with this number, EVENT_SIZE bytes and a NUL: "data: NUMBER TIME xx...x". */
void event_make(char event[EVENT_SIZE + 1], uint64_t number);

/* Starts a thread that makes the events, and calls `send` with each. 0, or an error number. */
int events_start(void (*send)(const char *event));

/*
 * The last events, for servers in which each client's own code fetches them. A client that is
 * more than 64 events behind gets a wrong one, which the load generator notices.
 */

/* Adds an event and wakes all that wait. May be the `send` of events_start. */
void events_publish(const char *event);

/* The number of events so far: a new client's first event is the one after them. */
uint64_t events_count(void);

/* Copies the event after the first `count`, and returns 1. 0 if there is none yet. */
int events_get(uint64_t count, char event[EVENT_SIZE]);

/* The same, but waits until there is one. */
void events_await(uint64_t count, char event[EVENT_SIZE]);

#ifdef __cplusplus
}
#endif

#endif
