/* Waiting for Ctrl-C on Windows, for example.h. */
#ifndef EXAMPLE_WINDOWS_H
#define EXAMPLE_WINDOWS_H

#include <windows.h>

typedef HANDLE stop_signals;

static stop_signals stop_event;

/* Runs on a thread of the system at Ctrl-C and when the window closes. */
static BOOL WINAPI begin_stop(DWORD kind)
{
    (void)kind;
    return SetEvent(stop_event);
}

static inline stop_signals block_stop_signals(void)
{
    stop_event = CreateEventW(NULL, TRUE, FALSE, NULL);
    SetConsoleCtrlHandler(begin_stop, TRUE);
    return stop_event;
}

static inline void wait_for_stop(const stop_signals *stop)
{
    WaitForSingleObject(*stop, INFINITE);
}

#endif
