/*
 * What the C servers share: the options of their command lines, and what there
 * is to answer with.
 */
#ifndef COMMON_H
#define COMMON_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MIB ((size_t)1 << 20)
#define PIECE ((size_t)64 * 1024)
#define BACKLOG 4096
#define CONNECTIONS 20000
#define WAIT_MS 10

/* The value of an option, or `otherwise` if it is not given. */
static inline const char *option_or(int argc, char **argv, const char *name, const char *otherwise)
{
    int i;
    for (i = 1; i + 1 < argc; i++) {
        if (strcmp(argv[i], name) == 0)
            return argv[i + 1];
    }
    return otherwise;
}

/* The value of an option. The process ends without it. */
static inline const char *option(int argc, char **argv, const char *name)
{
    const char *value = option_or(argc, argv, name, NULL);
    if (value != NULL)
        return value;
    fprintf(stderr, "%s: missing\n", name);
    exit(2);
}

/* A port of the command line. */
static inline uint16_t option_port(int argc, char **argv)
{
    const char *text = option(argc, argv, "--port");
    char *end;
    long port = strtol(text, &end, 10);
    if (*end != '\0' || port < 1 || port > 65535) {
        fprintf(stderr, "--port %s: it is a number from 1 to 65535\n", text);
        exit(2);
    }
    return (uint16_t)port;
}

/* `size` times 'x', for as long as the process runs. */
static inline uint8_t *xs(size_t size)
{
    uint8_t *bytes = (uint8_t *)malloc(size);
    if (bytes == NULL) {
        perror("malloc");
        exit(1);
    }
    memset(bytes, 'x', size);
    return bytes;
}

#endif
