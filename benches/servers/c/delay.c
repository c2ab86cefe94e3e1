#define _POSIX_C_SOURCE 200809L

#include "delay.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "common.h"

struct delayed {
    void *what;
    struct timespec until;
    struct delayed *next;
};

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct delayed *first, **last;
    void (*wake)(void *what);
} queue;

static int is_due(const struct timespec *until)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec > until->tv_sec || (now.tv_sec == until->tv_sec && now.tv_nsec >= until->tv_nsec);
}

static void *wake_all(void *unused)
{
    (void)unused;
    pthread_mutex_lock(&queue.lock);
    for (;;) {
        struct delayed *first = queue.first;
        if (first == NULL) {
            pthread_cond_wait(&queue.changed, &queue.lock);
            continue;
        }
        queue.first = first->next;
        if (queue.first == NULL)
            queue.last = &queue.first;
        pthread_mutex_unlock(&queue.lock);
        /* One that is due already costs no system call. */
        while (!is_due(&first->until))
            clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &first->until, NULL);
        queue.wake(first->what);
        free(first);
        pthread_mutex_lock(&queue.lock);
    }
    return NULL;
}

int delay_start(void (*wake)(void *what))
{
    pthread_t thread;
    pthread_mutex_init(&queue.lock, NULL);
    pthread_cond_init(&queue.changed, NULL);
    queue.last = &queue.first;
    queue.wake = wake;
    return pthread_create(&thread, NULL, wake_all, NULL);
}

int delay(void *what)
{
    struct delayed *delayed = malloc(sizeof *delayed);
    if (delayed == NULL)
        return -1;
    delayed->what = what;
    delayed->next = NULL;
    clock_gettime(CLOCK_MONOTONIC, &delayed->until);
    delayed->until.tv_nsec += WAIT_MS * 1000000L;
    if (delayed->until.tv_nsec >= 1000000000L) {
        delayed->until.tv_nsec -= 1000000000L;
        delayed->until.tv_sec++;
    }
    pthread_mutex_lock(&queue.lock);
    *queue.last = delayed;
    queue.last = &delayed->next;
    pthread_cond_signal(&queue.changed);
    pthread_mutex_unlock(&queue.lock);
    return 0;
}
