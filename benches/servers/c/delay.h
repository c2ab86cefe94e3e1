/*
 * Calls back what was handed to it, 10 ms later, from a thread of its own: for
 * servers that have no timer. All wait equally long, so the first to come is the
 * first to go.
 */
#ifndef DELAY_H
#define DELAY_H

/* Starts the thread that calls `wake`. 0, or an error number. */
int delay_start(void (*wake)(void *what));

/* Hands `what` to it. 0, or -1 when there is no memory. */
int delay(void *what);

#endif
