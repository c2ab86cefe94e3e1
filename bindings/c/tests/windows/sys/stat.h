/* A folder has no mode on Windows. */
#ifndef TRANSOM_TESTS_STAT_H
#define TRANSOM_TESTS_STAT_H

#include_next <sys/stat.h>

#include <direct.h>

#define mkdir(path, mode) _mkdir(path)

#endif
