/* The functions of string.h that glibc has besides. */
#ifndef TRANSOM_TESTS_STRING_H
#define TRANSOM_TESTS_STRING_H

#include_next <string.h>

static inline void *memmem(const void *bytes, size_t length, const void *part, size_t size)
{
    const char *at = bytes;
    size_t left = length;
    for (; left >= size; at++, left--)
        if (memcmp(at, part, size) == 0)
            return (void *)at;
    return NULL;
}

static inline char *strcasestr(const char *text, const char *part)
{
    size_t size = strlen(part);
    for (; strlen(text) >= size; text++)
        if (_strnicmp(text, part, size) == 0)
            return (char *)text;
    return NULL;
}

#endif
