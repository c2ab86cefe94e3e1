/* Leaves a name to the programs that they use. */
#ifndef TRANSOM_TESTS_IO_H
#define TRANSOM_TESTS_IO_H

#define tell posix_tell
#include_next <io.h>
#undef tell

#endif
