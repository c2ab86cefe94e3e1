/* A thread that is detached while it ends has its handle closed twice by MinGW: another may have the number by then. */
#ifndef TRANSOM_TESTS_PTHREAD_H
#define TRANSOM_TESTS_PTHREAD_H

#include_next <pthread.h>

/* Its handle stays open. */
static inline int posix_detach(pthread_t thread)
{
    return thread == 0;
}

#define pthread_detach(thread) posix_detach(thread)

#endif
