#define _POSIX_C_SOURCE 200809L

#include "events.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define KEPT 64

static struct {
    pthread_mutex_t lock;
    pthread_cond_t added;
    uint64_t count;
    char events[KEPT][EVENT_SIZE];
} kept = {.lock = PTHREAD_MUTEX_INITIALIZER, .added = PTHREAD_COND_INITIALIZER};

void event_make(char event[EVENT_SIZE + 1], uint64_t number)
{
    struct timespec now;
    int length;
    clock_gettime(CLOCK_MONOTONIC, &now);
    length = snprintf(event, EVENT_SIZE + 1, "data: %010" PRIu64 " %019" PRIu64 " ", number,
                      (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec);
    memset(event + length, 'x', (size_t)(EVENT_SIZE - 2 - length));
    memcpy(event + EVENT_SIZE - 2, "\n\n", 3);
}

static void *make_all(void *argument)
{
    void (**send)(const char *event) = argument;
    struct timespec due;
    uint64_t number;
    clock_gettime(CLOCK_MONOTONIC, &due);
    for (number = 0;; number++) {
        char event[EVENT_SIZE + 1];
        due.tv_nsec += EVENT_MS * 1000000L;
        if (due.tv_nsec >= 1000000000L) {
            due.tv_nsec -= 1000000000L;
            due.tv_sec++;
        }
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
        event_make(event, number);
        (*send)(event);
    }
    return NULL;
}

int events_start(void (*send)(const char *event))
{
    static void (*kept_send)(const char *event);
    pthread_t thread;
    kept_send = send;
    return pthread_create(&thread, NULL, make_all, &kept_send);
}

void events_publish(const char *event)
{
    pthread_mutex_lock(&kept.lock);
    memcpy(kept.events[kept.count % KEPT], event, EVENT_SIZE);
    kept.count++;
    pthread_cond_broadcast(&kept.added);
    pthread_mutex_unlock(&kept.lock);
}

uint64_t events_count(void)
{
    uint64_t count;
    pthread_mutex_lock(&kept.lock);
    count = kept.count;
    pthread_mutex_unlock(&kept.lock);
    return count;
}

int events_get(uint64_t count, char event[EVENT_SIZE])
{
    int there;
    pthread_mutex_lock(&kept.lock);
    there = count < kept.count;
    if (there)
        memcpy(event, kept.events[count % KEPT], EVENT_SIZE);
    pthread_mutex_unlock(&kept.lock);
    return there;
}

void events_await(uint64_t count, char event[EVENT_SIZE])
{
    pthread_mutex_lock(&kept.lock);
    while (count >= kept.count)
        pthread_cond_wait(&kept.added, &kept.lock);
    memcpy(event, kept.events[count % KEPT], EVENT_SIZE);
    pthread_mutex_unlock(&kept.lock);
}
