/* The most memory that the process has had. */
#ifndef TRANSOM_TESTS_RESOURCE_H
#define TRANSOM_TESTS_RESOURCE_H

#include <sys/socket.h>
/* After the sockets. */
#include <psapi.h>

#define RUSAGE_SELF 0

struct rusage {
    long ru_maxrss; /* KiB */
};

static inline int getrusage(int who, struct rusage *usage)
{
    PROCESS_MEMORY_COUNTERS memory = {.cb = sizeof memory};
    if (!K32GetProcessMemoryInfo(GetCurrentProcess(), &memory, sizeof memory))
        return -1;
    usage->ru_maxrss = (long)(memory.PeakWorkingSetSize / 1024);
    return who;
}

#endif
