/* The functions of stdlib.h that POSIX has besides. */
#ifndef TRANSOM_TESTS_STDLIB_H
#define TRANSOM_TESTS_STDLIB_H

#include_next <stdlib.h>

#include <direct.h>
#include <io.h>

static inline char *mkdtemp(char *name)
{
    return _mktemp(name) != NULL && _mkdir(name) == 0 ? name : NULL;
}

static inline int rand_r(unsigned *state)
{
    *state = *state * 1103515245 + 12345;
    return (int)(*state >> 16 & RAND_MAX);
}

#endif
